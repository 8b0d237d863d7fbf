/* SPDX-License-Identifier: BSD-3-Clause */
/* Frames from and to interfaces: see frames.h. */
#include "frames.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define RCVBUF (16 << 20) /* what the kernel keeps for us while we are not scheduled */

int frame_pool_open(struct frame_pool *pool, uint32_t n, uint32_t room, struct hg_err *err)
{
    *pool = (struct frame_pool){.n = n, .room = room};
    pool->stride = (sizeof(struct frame) + room + 63) / 64 * 64;
    pool->free_list = calloc(n, sizeof(struct frame *));
    pool->memory = mmap(NULL, n * pool->stride, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (pool->free_list == NULL || pool->memory == MAP_FAILED) {
        free(pool->free_list);
        return hg_fail(err, -ENOMEM, "no memory for %u frames of %u bytes", n, room);
    }
    /* The last one freed is the first one used, so that what is in use stays small. */
    for (uint32_t i = n; i-- > 0;)
        frame_free(pool, (struct frame *)(void *)(pool->memory + i * pool->stride));
    return 0;
}

void frame_pool_close(struct frame_pool *pool)
{
    munmap(pool->memory, pool->n * pool->stride);
    free(pool->free_list);
}

struct frame *frame_new(struct frame_pool *pool)
{
    return pool->n_free != 0 ? pool->free_list[--pool->n_free] : NULL;
}

void frame_free(struct frame_pool *pool, struct frame *frame)
{
    pool->free_list[pool->n_free++] = frame;
}

static int fail_errno(const struct iface *iface, const char *what, struct hg_err *err)
{
    return hg_fail(err, -errno, "interface %s: %s: %s", iface->name, what, strerror(errno));
}

/* Receives all that passes, with what the sender left to hardware told in front of each frame; what
 * we send ourselves does not come back. */
static int open_packet_rx(struct iface *iface, const struct sockaddr_ll *at, struct hg_err *err)
{
    struct packet_mreq all = {.mr_ifindex = at->sll_ifindex, .mr_type = PACKET_MR_PROMISC};
    const int on = 1, room = RCVBUF;

    iface->rx_fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (iface->rx_fd < 0)
        return fail_errno(iface, "packet socket", err);
    if (setsockopt(iface->rx_fd, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof on) != 0 ||
        setsockopt(iface->rx_fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof on) != 0 ||
        setsockopt(iface->rx_fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &all, sizeof all) != 0 ||
        setsockopt(iface->rx_fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room) != 0 ||
        bind(iface->rx_fd, (const struct sockaddr *)at, sizeof *at) != 0)
        return fail_errno(iface, "receiving", err);
    return 0;
}

static int open_packet_tx(struct iface *iface, const struct sockaddr_ll *at, struct hg_err *err)
{
    struct sockaddr_ll to = *at;
    const int on = 1, room = RCVBUF;

    to.sll_protocol = 0; /* receives nothing */
    iface->tx_fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (iface->tx_fd < 0)
        return fail_errno(iface, "packet socket", err);
    if (setsockopt(iface->tx_fd, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof on) != 0 ||
        setsockopt(iface->tx_fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room) != 0 ||
        bind(iface->tx_fd, (const struct sockaddr *)&to, sizeof to) != 0)
        return fail_errno(iface, "sending", err);
    return 0;
}

static int open_packet(struct iface *iface, struct hg_err *err)
{
    struct sockaddr_ll at = {.sll_family = AF_PACKET,
                             .sll_protocol = htons(ETH_P_ALL),
                             .sll_ifindex = (int)if_nametoindex(iface->name)};
    int ret;

    if (at.sll_ifindex == 0)
        return fail_errno(iface, "looking for it", err);
    ret = open_packet_rx(iface, &at, err);
    return ret != 0 ? ret : open_packet_tx(iface, &at, err);
}

/* Without vnet headers: the kernel finishes and cuts what it hands out. */
static int open_tap(struct iface *iface, struct hg_err *err)
{
    struct ifreq req = {.ifr_flags = IFF_TAP | IFF_NO_PI};

    snprintf(req.ifr_name, sizeof req.ifr_name, "%s", iface->name);
    iface->is_tap = true;
    iface->rx_fd = iface->tx_fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (iface->rx_fd < 0)
        return fail_errno(iface, "/dev/net/tun", err);
    if (ioctl(iface->rx_fd, TUNSETIFF, &req) != 0)
        return fail_errno(iface, "making it", err);
    return 0;
}

static int read_mtu(struct iface *iface, struct hg_err *err)
{
    struct ifreq req = {0};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int ret = 0;

    snprintf(req.ifr_name, sizeof req.ifr_name, "%s", iface->name);
    if (fd < 0 || ioctl(fd, SIOCGIFMTU, &req) != 0)
        ret = fail_errno(iface, "reading its MTU", err);
    iface->mtu = (uint32_t)req.ifr_mtu;
    if (fd >= 0)
        close(fd);
    return ret;
}

int iface_open(struct iface *iface, const char *name, struct hg_err *err)
{
    bool tap = strncmp(name, "tap:", 4) == 0;
    int ret;

    *iface = (struct iface){.rx_fd = -1, .tx_fd = -1};
    if (snprintf(iface->name, sizeof iface->name, "%s", name + (tap ? 4 : 0)) >= IFNAMSIZ)
        return hg_fail(err, -EINVAL, "interface %s: the name is too long", name);
    ret = tap ? open_tap(iface, err) : open_packet(iface, err);
    if (ret == 0)
        ret = read_mtu(iface, err);
    if (ret != 0)
        iface_close(iface);
    return ret;
}

void iface_close(struct iface *iface)
{
    if (iface->rx_fd >= 0)
        close(iface->rx_fd);
    if (iface->tx_fd >= 0 && iface->tx_fd != iface->rx_fd)
        close(iface->tx_fd);
    iface->rx_fd = iface->tx_fd = -1;
}

/* RFC 1071. Sums in the byte order of memory, which only swaps the two bytes of the result. */
static uint16_t checksum(const uint8_t *p, uint32_t len)
{
    uint64_t sum = 0;
    uint32_t word;
    uint16_t half;

    for (; len >= 4; p += 4, len -= 4) {
        memcpy(&word, p, 4);
        sum += word;
    }
    if (len >= 2) {
        memcpy(&half, p, 2);
        sum += half;
        p += 2;
        len -= 2;
    }
    if (len != 0)
        sum += *p;
    while (sum >> 16 != 0)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

/* What the sender's kernel left undone (virtio 1.2, 5.1.6.2): the field holds the pseudo-header's
 * sum, and the checksum from csum_start on goes there. */
static void finish_checksum(struct frame *frame, const struct virtio_net_hdr *hdr)
{
    uint32_t start = hdr->csum_start, at = start + hdr->csum_offset;

    if ((hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) == 0 || start >= frame->len ||
        at + 2 > frame->len)
        return;
    uint16_t sum = checksum(frame->data + start, frame->len - start);
    if (sum == 0 && hdr->csum_offset == 6) /* UDP: 0 would mean none (RFC 768) */
        sum = 0xffff;
    memcpy(frame->data + at, &sum, sizeof sum);
}

/* Whether the frame is one that a cable carries; counts why not. */
static bool keep(struct iface *iface, struct frame *frame, const struct virtio_net_hdr *hdr,
                 bool truncated)
{
    if (hdr->gso_type != VIRTIO_NET_HDR_GSO_NONE) {
        iface->count.rx_aggregates++;
        return false;
    }
    if (truncated) {
        iface->count.rx_oversize++;
        return false;
    }
    finish_checksum(frame, hdr);
    return true;
}

static unsigned take_frames(struct iface *iface, struct frame_pool *pool, struct frame **frames)
{
    unsigned n = 0;

    while (n < FRAMES_BATCH && (frames[n] = frame_new(pool)) != NULL)
        n++;
    if (n == 0)
        iface->count.rx_no_frame++;
    return n;
}

static unsigned receive_packets(struct iface *iface, struct frame_pool *pool, struct frame **frames)
{
    struct virtio_net_hdr hdr[FRAMES_BATCH];
    struct iovec iov[FRAMES_BATCH][2];
    struct mmsghdr msg[FRAMES_BATCH];
    unsigned room = take_frames(iface, pool, frames), kept = 0;

    for (unsigned i = 0; i < room; i++) {
        iov[i][0] = (struct iovec){&hdr[i], sizeof hdr[i]};
        iov[i][1] = (struct iovec){frames[i]->data, pool->room};
        msg[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = iov[i], .msg_iovlen = 2}};
    }
    int got = room != 0 ? recvmmsg(iface->rx_fd, msg, room, MSG_DONTWAIT, NULL) : 0;
    for (unsigned i = 0; i < room; i++) {
        struct frame *frame = frames[i];

        if ((int)i < got && msg[i].msg_len > sizeof hdr[i]) {
            frame->len = msg[i].msg_len - (uint32_t)sizeof hdr[i];
            iface->count.rx_packets++;
            if (keep(iface, frame, &hdr[i], (msg[i].msg_hdr.msg_flags & MSG_TRUNC) != 0)) {
                frames[kept++] = frame;
                continue;
            }
        }
        frame_free(pool, frame);
    }
    return kept;
}

static unsigned receive_tap(struct iface *iface, struct frame_pool *pool, struct frame **frames)
{
    unsigned n = 0;

    while (n < FRAMES_BATCH) {
        struct frame *frame = frame_new(pool);

        if (frame == NULL) {
            iface->count.rx_no_frame++;
            break;
        }
        ssize_t len = read(iface->rx_fd, frame->data, pool->room);
        if (len <= 0) {
            frame_free(pool, frame);
            break;
        }
        frame->len = (uint32_t)len;
        frames[n++] = frame;
    }
    iface->count.rx_packets += n;
    return n;
}

unsigned iface_receive(struct iface *iface, struct frame_pool *pool, struct frame **frames)
{
    return (iface->is_tap ? receive_tap : receive_packets)(iface, pool, frames);
}

static unsigned send_packets(struct iface *iface, struct frame *const *frames, unsigned n)
{
    struct iovec iov[FRAMES_BATCH];
    struct mmsghdr msg[FRAMES_BATCH];
    unsigned sent = 0;

    for (unsigned i = 0; i < n; i++) {
        iov[i] = (struct iovec){frames[i]->data, frames[i]->len};
        msg[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &iov[i], .msg_iovlen = 1}};
    }
    for (unsigned i = 0; i < n;) {
        int done = sendmmsg(iface->tx_fd, msg + i, n - i, MSG_DONTWAIT);

        if (done > 0) {
            sent += (unsigned)done;
            i += (unsigned)done;
        } else {
            i++; /* this one is refused: too long, or the interface is full or down */
        }
    }
    return sent;
}

static unsigned send_tap(struct iface *iface, struct frame *const *frames, unsigned n)
{
    unsigned sent = 0;

    for (unsigned i = 0; i < n; i++)
        sent += write(iface->tx_fd, frames[i]->data, frames[i]->len) == (ssize_t)frames[i]->len;
    return sent;
}

void iface_send(struct iface *iface, struct frame *const *frames, unsigned n)
{
    unsigned sent = (iface->is_tap ? send_tap : send_packets)(iface, frames, n);

    iface->count.tx_packets += sent;
    iface->count.tx_refused += n - sent;
}

struct hg_counter_set iface_counters(struct iface *iface)
{
    static const struct hg_counter_desc desc[] = {IFACE_COUNTERS(HG_COUNTER_DESC)};
    struct tpacket_stats stats;
    socklen_t len = sizeof stats;

    if (!iface->is_tap &&
        getsockopt(iface->rx_fd, SOL_PACKET, PACKET_STATISTICS, &stats, &len) == 0)
        iface->count.rx_kernel_drops += stats.tp_drops; /* since it was read last */
    return (struct hg_counter_set){iface->name, desc, (const uint64_t *)&iface->count,
                                   HG_ARRAY_LEN(desc)};
}
