/* SPDX-License-Identifier: BSD-3-Clause */
/* See rig.h. */
#include "rig.h"
#include <CUnit/CUnit.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

struct config cfg;
struct hg_err err;

void set(const char *assignment)
{
    int rc = config_set(&cfg, assignment, &err);

    if (rc != 0)
        fprintf(stderr, "%s: %s\n", assignment, err.text);
    CU_ASSERT_EQUAL(rc, 0);
}

void begin(void)
{
    config_defaults(&cfg);
    set("port.vdev=net_tap0,iface=hg0");
    set("tls.certificate=c");
    set("tls.key=k");
    set("tls.ca=a");
    set("store.device0=./d0");
    set("store.device1=./d1");
}

void good(void)
{
    int rc = config_check(&cfg, &err);

    if (rc != 0)
        fprintf(stderr, "%s\n", err.text);
    CU_ASSERT_EQUAL(rc, 0);
}

void bad(const char *words)
{
    err.text[0] = '\0';
    CU_ASSERT_EQUAL(config_check(&cfg, &err), -EINVAL);
    if (strstr(err.text, words) == NULL)
        fprintf(stderr, "said: %s\nwant: %s\n", err.text, words);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, words));
}
