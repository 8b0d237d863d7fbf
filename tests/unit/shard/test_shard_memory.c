/* SPDX-License-Identifier: BSD-3-Clause */
/* What an idle established connection costs, all layers together: at most 8 KiB. */
#include "ingest.h"
#include "shard_priv.h"
#include "tcp_conn.h"
#include "tcp_trace.h"
#include "tls_conn.h"

#include <CUnit/Basic.h>
#include <CUnit/CUnit.h>

#define LIMIT 8192u
#define VOLUMES 64u                              /* of a session, as the profile presets */
#define SLOT_SHARE (4 * sizeof(struct tcp_slot)) /* at most so many slots of the table for each */

static void test_idle_connection(void)
{
    size_t tcp = sizeof(struct hg_tcp_conn) + sizeof(struct tcp_trace) + SLOT_SHARE;
    size_t tls = sizeof(struct hg_tls);
    size_t conn = sizeof(struct hg_conn);
    size_t session = sizeof(struct hg_session) + VOLUMES * sizeof(struct hg_svol *);

    printf("\n    tcp %zu, tls %zu, shard %zu, session %zu: %zu bytes ", tcp, tls, conn, session,
           tcp + tls + conn + session);
    CU_ASSERT(tcp + tls + conn + session <= LIMIT);
}

int main(void)
{
    unsigned failed;
    CU_pSuite suite;

    if (CU_initialize_registry() != CUE_SUCCESS)
        return 1;
    suite = CU_add_suite("shard_memory", NULL, NULL);
    CU_add_test(suite, "an idle connection costs at most 8 KiB", test_idle_connection);
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    failed = CU_get_number_of_failures() + CU_get_number_of_tests_failed();
    CU_cleanup_registry();
    return failed != 0;
}
