/* SPDX-License-Identifier: BSD-3-Clause */
/* The services for tests, without TCP: what comes in, what goes out, in pieces of every size. */
#include "../tcp/suite.h"
#include <errno.h>
#include <headgate/testsvc.h>
#include <rte_eal.h>
#include <stdlib.h>
#include <string.h>

#define NOW HG_SEC(10)

static struct rig {
    struct hg_testsvc *t;
    struct hg_testsvc_conn *c;
    uint8_t *got;
    uint32_t n_got;
    bool ended;
} rig;

static void begin(enum hg_testsvc_kind kind, uint32_t conns_max)
{
    struct hg_testsvc_cfg cfg = {.conns_max = conns_max, .socket = SOCKET_ID_ANY};
    struct hg_err err;

    rig.n_got = 0;
    rig.ended = false;
    CU_ASSERT_EQUAL_FATAL(hg_testsvc_create(&cfg, &rig.t, &err), 0);
    rig.c = hg_testsvc_open(rig.t, kind, NOW);
    CU_ASSERT_PTR_NOT_NULL_FATAL(rig.c);
}

static void end(void)
{
    hg_testsvc_close(rig.c);
    hg_testsvc_destroy(rig.t);
}

static uint64_t count(const char *name)
{
    struct hg_counter_set set = hg_testsvc_counter_set(rig.t);

    for (unsigned i = 0; i < set.n; i++)
        if (strcmp(set.desc[i].name, name) == 0)
            return set.value[i];
    CU_FAIL_FATAL("no such counter");
    return 0;
}

/* Takes output until there is none, or `limit` bytes, at most `max` of a pattern a call. */
static void take(uint32_t max, uint32_t limit)
{
    uint8_t room[HG_TESTSVC_ROOM_MIN];

    while (rig.n_got < limit) {
        struct hg_testsvc_out out = {.room = room, .cap = sizeof room, .max = max};
        int len = hg_testsvc_output(rig.c, &out, NOW);

        rig.ended = len == -EPIPE;
        if (len <= 0)
            return;
        CU_ASSERT((uint32_t)len <= (out.shared == NULL ? out.cap : max));
        rig.got = realloc(rig.got, rig.n_got + (uint32_t)len);
        memcpy(rig.got + rig.n_got, out.data, (uint32_t)len);
        rig.n_got += (uint32_t)len;
    }
}

static void give(const char *text)
{
    uint32_t len = (uint32_t)strlen(text);

    CU_ASSERT_EQUAL(hg_testsvc_input(rig.c, (const uint8_t *)text, len, NOW), len);
}

/* ---- streams ---- */

static void test_echo(void)
{
    uint8_t sent[10000];
    uint32_t at = 0;

    begin(HG_TESTSVC_ECHO, 1);
    CU_ASSERT(!hg_testsvc_has_output(rig.c));
    for (uint32_t i = 0; i < sizeof sent; i++)
        sent[i] = (uint8_t)(i * 7 + (i >> 8));
    for (unsigned round = 0; at < sizeof sent && round < 100; round++) {
        at += hg_testsvc_input(rig.c, sent + at, (uint32_t)sizeof sent - at, NOW);
        CU_ASSERT(hg_testsvc_has_output(rig.c));
        take(1, UINT32_MAX);
    }
    CU_ASSERT_EQUAL_FATAL(rig.n_got, sizeof sent);
    CU_ASSERT_EQUAL(memcmp(rig.got, sent, sizeof sent), 0);
    CU_ASSERT(!rig.ended);
    end();
}

static void test_echo_bound(void)
{
    static const uint8_t sent[100000];
    uint32_t first;

    begin(HG_TESTSVC_ECHO, 1);
    first = hg_testsvc_input(rig.c, sent, sizeof sent, NOW);
    CU_ASSERT(first > 0 && first < 10000);
    CU_ASSERT_EQUAL(hg_testsvc_input(rig.c, sent, 1, NOW), 0);
    end();
}

static void test_echo_eof(void)
{
    begin(HG_TESTSVC_ECHO, 1);
    give("last words");
    hg_testsvc_eof(rig.c);
    take(1, UINT32_MAX);
    CU_ASSERT_EQUAL(rig.n_got, 10);
    CU_ASSERT(rig.ended);
    end();
}

static void test_discard(void)
{
    begin(HG_TESTSVC_DISCARD, 1);
    give("whatever");
    CU_ASSERT(!hg_testsvc_has_output(rig.c));
    hg_testsvc_eof(rig.c);
    CU_ASSERT(hg_testsvc_has_output(rig.c));
    take(1, UINT32_MAX);
    CU_ASSERT(rig.ended && rig.n_got == 0);
    CU_ASSERT_EQUAL(count("bytes_in"), 8);
    end();
}

static void test_chargen(void)
{
    begin(HG_TESTSVC_CHARGEN, 1);
    take(999, 200000);
    CU_ASSERT_EQUAL(memcmp(rig.got, " !\"#$%&'()*+,-./0123456789", 26), 0);
    CU_ASSERT_EQUAL(memcmp(rig.got + 72, "\r\n!\"#$", 6), 0);
    for (uint32_t i = 95 * 74; i < rig.n_got; i++)
        if (rig.got[i] != rig.got[i - 95 * 74]) {
            CU_FAIL("the pattern does not repeat");
            break;
        }
    hg_testsvc_eof(rig.c);
    take(1, UINT32_MAX);
    CU_ASSERT(rig.ended);
    end();
}

/* ---- HTTP ---- */

static uint32_t body_of(uint32_t *head)
{
    const uint8_t *p = memmem(rig.got, rig.n_got, "\r\n\r\n", 4);

    CU_ASSERT_PTR_NOT_NULL_FATAL(p);
    *head = (uint32_t)(p - rig.got) + 4;
    return rig.n_got - *head;
}

static void check_body(uint32_t n)
{
    uint32_t head, len = body_of(&head);

    CU_ASSERT_EQUAL_FATAL(len, n);
    for (uint32_t o = 0; o < n; o++)
        if (rig.got[head + o] != (uint8_t)(((n + o) % 65521 * 2654435761u) >> 24)) {
            CU_FAIL("a byte of the body is not what the header file promises");
            break;
        }
}

static void test_get(void)
{
    static const uint32_t sizes[] = {0, 1, 511, 512, 65520, 65521, 65522, 200000};
    char request[64];

    for (unsigned i = 0; i < HG_ARRAY_LEN(sizes); i++)
        for (uint32_t max = 1447; max < 70000; max += 31000) {
            begin(HG_TESTSVC_HTTP, 1);
            snprintf(request, sizeof request, "GET /%u HTTP/1.0\r\nHost: x\r\n\r\n", sizes[i]);
            give(request);
            take(max, UINT32_MAX);
            CU_ASSERT(rig.ended);
            check_body(sizes[i]);
            end();
        }
}

static void test_byte_by_byte(void)
{
    const char *request = "GET /77 HTTP/1.1\nA: b\r\n\n";

    begin(HG_TESTSVC_HTTP, 1);
    for (const char *p = request; *p != '\0'; p++) {
        CU_ASSERT(!hg_testsvc_has_output(rig.c));
        give((char[]){*p, '\0'});
    }
    CU_ASSERT(hg_testsvc_has_output(rig.c));
    take(5, UINT32_MAX);
    check_body(77);
    end();
}

static void test_head(void)
{
    uint32_t head;

    begin(HG_TESTSVC_HTTP, 1);
    give("HEAD /1234 HTTP/1.0\r\n\r\n");
    take(100, UINT32_MAX);
    CU_ASSERT_EQUAL(body_of(&head), 0);
    CU_ASSERT_PTR_NOT_NULL(memmem(rig.got, rig.n_got, "Content-Length: 1234\r\n", 22));
    CU_ASSERT(rig.ended);
    end();
}

static void expect_status(const char *request, const char *status)
{
    char line[32];

    begin(HG_TESTSVC_HTTP, 1);
    give(request);
    take(100, 4096);
    snprintf(line, sizeof line, "HTTP/1.0 %s ", status);
    if (rig.n_got < strlen(line) || memcmp(rig.got, line, strlen(line)) != 0) {
        printf("\n%.60s: not %s\n", request, status);
        CU_FAIL("status");
    }
    CU_ASSERT(rig.ended);
    end();
}

static void test_refusals(void)
{
    static const char *const rows[][2] = {
        {"GET /67108865 HTTP/1.0\r\n\r\n", "404"},
        {"GET /99999999999999999999 HTTP/1.0\r\n\r\n", "404"},
        {"GET / HTTP/1.0\r\n\r\n", "404"},
        {"GET /-1 HTTP/1.0\r\n\r\n", "404"},
        {"GET /1x HTTP/1.0\r\n\r\n", "404"},
        {"GET x HTTP/1.0\r\n\r\n", "404"},
        {"POST /1 HTTP/1.0\r\n\r\n", "405"},
        {"get /1 HTTP/1.0\r\n\r\n", "405"},
        {"GET /1\r\n\r\n", "400"},
        {"GET /1 HTTP/2.0\r\n\r\n", "400"},
        {"GET /1 HTTP/1.0 x\r\n\r\n", "400"},
        {"\r\n\r\n", "400"},
        {"GET  /1 HTTP/1.0\r\n\r\n", "400"},
    };

    for (unsigned i = 0; i < HG_ARRAY_LEN(rows); i++)
        expect_status(rows[i][0], rows[i][1]);
}

static void test_limits(void)
{
    static char text[40000];

    memset(text, 'x', sizeof text - 1);
    expect_status(text, "414");
    memcpy(text, "GET /1 HTTP/1.0\r\n", 17);
    expect_status(text, "400"); /* a field without end */
}

/* ---- time and number ---- */

static void test_cap(void)
{
    struct hg_testsvc_conn *second;

    begin(HG_TESTSVC_ECHO, 2);
    second = hg_testsvc_open(rig.t, HG_TESTSVC_HTTP, NOW);
    CU_ASSERT_PTR_NOT_NULL_FATAL(second);
    CU_ASSERT_PTR_NULL(hg_testsvc_open(rig.t, HG_TESTSVC_HTTP, NOW));
    CU_ASSERT_EQUAL(count("refused"), 1);
    hg_testsvc_close(second);
    second = hg_testsvc_open(rig.t, HG_TESTSVC_ECHO, NOW);
    CU_ASSERT_PTR_NOT_NULL_FATAL(second);
    hg_testsvc_close(second);
    end();
}

static void test_time(void)
{
    begin(HG_TESTSVC_ECHO, 1);
    CU_ASSERT(hg_testsvc_tick(rig.c, NOW + HG_SEC(59)));
    CU_ASSERT(!hg_testsvc_tick(rig.c, NOW + HG_SEC(60)));
    CU_ASSERT_EQUAL(count("idle"), 1);
    end();
    begin(HG_TESTSVC_HTTP, 1);
    CU_ASSERT(hg_testsvc_tick(rig.c, NOW + HG_SEC(9)));
    CU_ASSERT(!hg_testsvc_tick(rig.c, NOW + HG_SEC(10)));
    CU_ASSERT_EQUAL(count("late"), 1);
    give("GET /1 HTTP/1.0\r\n\r\n");
    CU_ASSERT(hg_testsvc_tick(rig.c, NOW + HG_SEC(10)));
    end();
}

int main(void)
{
    static const struct suite_test tests[] = {
        {"echo sends back every byte", test_echo},
        {"echo holds a bounded number of bytes", test_echo_bound},
        {"echo says what it owes after the peer's end", test_echo_eof},
        {"discard takes all and says nothing", test_discard},
        {"chargen is RFC 864's pattern", test_chargen},
        {"GET /N has N bytes, in pieces of any size", test_get},
        {"a request may come byte by byte", test_byte_by_byte},
        {"HEAD has no body", test_head},
        {"other requests are refused with their status", test_refusals},
        {"long lines and heads are refused", test_limits},
        {"connections are bounded", test_cap},
        {"idle connections and late requests end", test_time},
    };
    char *eal[] = {"test", "--no-huge",      "--no-shconf",   "--no-pci", "-m",
                   "64",   "--no-telemetry", "--log-level=4", NULL};

    if (rte_eal_init(HG_ARRAY_LEN(eal) - 1, eal) < 0)
        return 2;
    int rc = suite_run("testsvc", tests, HG_ARRAY_LEN(tests));
    free(rig.got);
    return rc;
}
