/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The MTU of DPDK's net_af_packet. The driver states the longest frame of plain Ethernet, so that ethdev
 * refuses to set more, but takes what a frame of its ring holds and its kernel interface lets through.
 * That is as far as it may be used: the interface has to have the MTU already.
 */
#ifndef HEADGATE_DRIVERS_PORT_AF_PACKET_H
#define HEADGATE_DRIVERS_PORT_AF_PACKET_H

#include <rte_ethdev.h>

/* Largest IP packet in bytes; 0: another driver, or one that cannot say. */
uint32_t af_packet_mtu(const struct rte_eth_dev_info *info);

/* The same from its parts: the device's arguments and the interface's MTU. */
uint32_t af_packet_mtu_of(const char *args, uint32_t iface_mtu);

#endif /* HEADGATE_DRIVERS_PORT_AF_PACKET_H */
