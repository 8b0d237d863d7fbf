/* SPDX-License-Identifier: BSD-3-Clause */
/* See af_packet.h. */
#include "af_packet.h"

#include <net/if.h>
#include <rte_dev.h>
#include <rte_devargs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define FRAMESZ "framesz="
#define FRAMESZ_DEFAULT 2048u /* of the driver */
/* From the begin of a ring's frame to the IP packet: struct tpacket2_hdr, struct sockaddr_ll and 16
 * bytes for the Ethernet header, rounded up to 16 (packet(7), TPACKET_ALIGN). A VLAN tag travels beside. */
#define FRAME_HEAD 80u

uint32_t af_packet_mtu_of(const char *args, uint32_t iface_mtu)
{
    const char *at = args != NULL ? strstr(args, FRAMESZ) : NULL;
    unsigned long frame = at != NULL ? strtoul(at + strlen(FRAMESZ), NULL, 10) : FRAMESZ_DEFAULT;

    if (frame <= FRAME_HEAD || frame > UINT16_MAX)
        return 0;
    return RTE_MIN((uint32_t)frame - FRAME_HEAD, iface_mtu);
}

static uint32_t iface_mtu(unsigned index)
{
    struct ifreq ifr;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    uint32_t mtu = 0;

    memset(&ifr, 0, sizeof ifr);
    if (fd < 0)
        return 0;
    if (if_indextoname(index, ifr.ifr_name) != NULL && ioctl(fd, SIOCGIFMTU, &ifr) == 0 &&
        ifr.ifr_mtu > 0)
        mtu = (uint32_t)ifr.ifr_mtu;
    close(fd);
    return mtu;
}

uint32_t af_packet_mtu(const struct rte_eth_dev_info *info)
{
    const struct rte_devargs *args;

    if (strcmp(info->driver_name, "net_af_packet") != 0)
        return 0;
    args = rte_dev_devargs(info->device);
    return af_packet_mtu_of(args != NULL ? args->args : NULL, iface_mtu(info->if_index));
}
