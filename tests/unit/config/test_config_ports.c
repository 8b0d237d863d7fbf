/* SPDX-License-Identifier: BSD-3-Clause */
/* Sections [port] to [port3] of a profile: what each takes, and what they may not have in common. */
#include "netcfg.h"
#include <CUnit/Basic.h>
#include <CUnit/CUnit.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct config cfg;
static struct hg_err err;

static void set(const char *assignment)
{
    int rc = config_set(&cfg, assignment, &err);

    if (rc != 0)
        fprintf(stderr, "%s: %s\n", assignment, err.text);
    CU_ASSERT_EQUAL(rc, 0);
}

/* A profile with one port that is good. */
static void begin(void)
{
    config_defaults(&cfg);
    set("port.vdev=net_tap0,iface=hg0");
    set("tls.certificate=c");
    set("tls.key=k");
    set("tls.ca=a");
    set("store.device0=./d0");
    set("store.device1=./d1");
}

static void good(unsigned ports)
{
    int rc = config_check(&cfg, &err);

    if (rc != 0)
        fprintf(stderr, "%s\n", err.text);
    CU_ASSERT_EQUAL(rc, 0);
    CU_ASSERT_EQUAL(netcfg_ports(&cfg), ports);
}

static void bad(const char *words)
{
    err.text[0] = '\0';
    CU_ASSERT_EQUAL(config_check(&cfg, &err), -EINVAL);
    if (strstr(err.text, words) == NULL)
        fprintf(stderr, "said: %s\nwant: %s\n", err.text, words);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, words));
}

static void refused(const char *assignment, const char *words)
{
    CU_ASSERT_EQUAL(config_set(&cfg, assignment, &err), -EINVAL);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, words));
}

static void test_keys(void)
{
    struct config_port first;

    begin();
    first = cfg.ports[0];
    set("port1.device=0000:03:00.1");
    set("port1.address=198.51.100.1/24");
    set("port1.mtu=9000");
    set("port1.vlan=7");
    set("port1.spread=software");
    set("port3.rx-mbufs=5000");
    CU_ASSERT_EQUAL(memcmp(&first, &cfg.ports[0], sizeof first), 0);
    CU_ASSERT_STRING_EQUAL(cfg.ports[1].device, "0000:03:00.1");
    CU_ASSERT_STRING_EQUAL(cfg.ports[1].address, "198.51.100.1/24");
    CU_ASSERT_EQUAL(cfg.ports[1].mtu, 9000);
    CU_ASSERT_EQUAL(cfg.ports[1].vlan, 7);
    CU_ASSERT_STRING_EQUAL(cfg.ports[1].spread, "software");
    CU_ASSERT_EQUAL(cfg.ports[1].rx_mbufs, first.rx_mbufs);
    CU_ASSERT(cfg.ports[1].detect_conflicts);
    CU_ASSERT_EQUAL(cfg.ports[3].rx_mbufs, 5000);
    good(2);
}

static void test_absent(void)
{
    begin();
    good(1);
    set("port1.address=192.0.2.1/24"); /* the first port's: no matter, there is no second */
    good(1);
    set("port1.vdev=net_tap1");
    set("port1.address=");
    bad("[port1] address: at least one");
    set("port1.slaac=yes");
    good(2);
    set("port1.vdev=");
    good(1);
}

static void test_sections_are_named(void)
{
    begin();
    refused("port1.mtu=9217", "[port1] mtu = 9217: a whole number from 0 to 9216");
    refused("port2.lro=maybe", "[port2] lro = maybe");
    refused("port3.spread=fast", "[port3] spread = fast: allowed are device|software");
    refused("port2.vdevice=x", "[port2] vdevice is unknown; known are vdev device address");
    refused("port4.vdev=net_tap4", "section [port4] is unknown");
    refused("port1.closed-ports=silent", "[port1] closed-ports is unknown");
    set("port1.vdev=net_tap1");
    set("port1.address=198.51.100.1");
    bad("[port1] address = 198.51.100.1: write it like");
    set("port1.address=198.51.100.1/24");
    set("port1.gateway=198.51.100.2,198.51.100.3");
    bad("[port1] gateway = 198.51.100.3: a second one");
    set("port1.gateway=");
    set("port1.routes=203.0.113.0/24");
    bad("[port1] routes = 203.0.113.0/24: write it like");
}

static void test_nothing_in_common(void)
{
    begin();
    set("port1.vdev=net_tap1,iface=hg1");
    set("port1.address=198.51.100.1/24, 2001:db8::1/64");
    set("port2.vdev=net_tap2,iface=hg2");
    set("port2.address=203.0.113.1/24");
    good(3);
    set("port2.address=203.0.113.1/24, 2001:db8:0::1/48");
    bad("[port1] and [port2] both have address 2001:db8::1");
    set("port2.address=192.0.2.1/32");
    bad("[port] and [port2] both have address 192.0.2.1");
    set("port2.address=192.0.2.2/24");
    good(3); /* two ports on one network */
    set("port2.vdev=net_tap0,iface=hg2");
    bad("[port] and [port2] both have device net_tap0");
    set("port1.device=0000:03:00.0");
    set("port2.device=03:00.0");
    bad("[port1] and [port2] both have device 03:00.0");
    set("port2.device=03:00.1");
    good(3);
}

static void test_no_gap(void)
{
    begin();
    set("port2.vdev=net_tap2");
    set("port2.address=203.0.113.1/24");
    bad("[port2] has a device but [port1] has none");
    config_defaults(&cfg);
    bad("[port] needs a device or a vdev");
}

static void test_receive_memory(void)
{
    begin();
    set("port.rx-mbufs=65536");
    set("port1.vdev=net_tap1");
    set("port1.address=198.51.100.1/24");
    set("port1.rx-mbufs=8192");
    good(2);
    CU_ASSERT_EQUAL(cfg.rcv_mem, 8192u * 2048u / 4 * 3);
}

static void test_dump(void)
{
    static struct config again;
    char path[] = "/tmp/headgate-ports-XXXXXX";
    FILE *f = fdopen(mkstemp(path), "w");

    begin();
    set("port1.vdev=net_tap1,iface=hg1");
    set("port1.address=198.51.100.1/24");
    set("port1.mtu=1400");
    set("port2.device=03:00.1");
    set("port2.address=203.0.113.1/24");
    good(3);
    CU_ASSERT_PTR_NOT_NULL_FATAL(f);
    config_dump(&cfg, f);
    fclose(f);
    config_defaults(&again);
    CU_ASSERT_EQUAL(config_load(&again, path, &err), 0);
    CU_ASSERT_EQUAL(memcmp(&again, &cfg, sizeof cfg), 0);
    unlink(path);
}

int main(void)
{
    unsigned failed;
    CU_pSuite suite;

    if (CU_initialize_registry() != CUE_SUCCESS)
        return 1;
    suite = CU_add_suite("config_ports", NULL, NULL);
    CU_add_test(suite, "a port's section sets that port and no other", test_keys);
    CU_add_test(suite, "a section without device and vdev is no port", test_absent);
    CU_add_test(suite, "what is wrong is said with the section's name", test_sections_are_named);
    CU_add_test(suite, "two ports have no address and no device in common", test_nothing_in_common);
    CU_add_test(suite, "there is no gap between ports", test_no_gap);
    CU_add_test(suite, "the port with the fewest buffers bounds receive queues",
                test_receive_memory);
    CU_add_test(suite, "a dumped profile has all ports", test_dump);
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    failed = CU_get_number_of_failures() + CU_get_number_of_tests_failed();
    CU_cleanup_registry();
    return failed != 0;
}
