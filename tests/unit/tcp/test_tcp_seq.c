/* SPDX-License-Identifier: BSD-3-Clause */
/* Sequence arithmetic: every way two numbers can lie on the circle. */
#include "suite.h"
#include "tcp_seq.h"

#include <headgate/base.h>

static const struct {
    uint32_t a, b;
    int order; /* of a relative to b */
} rows[] = {
    {0, 0, 0},
    {1, 0, 1},
    {0, 1, -1},
    {5, 5, 0},
    {0, 0xffffffff, 1}, /* just after the wrap */
    {0xffffffff, 0, -1},
    {0x10, 0xfffffff0, 1},
    {0xfffffff0, 0x10, -1},
    {0x7fffffff, 0, 1}, /* the farthest that is still after */
    {0, 0x7fffffff, -1},
    {0x80000001, 0, -1}, /* past half of the circle it is before */
    {0, 0x80000001, 1},
    {0x7fffffff, 0x80000000, -1}, /* across the sign bit */
    {0x80000000, 0x7fffffff, 1},
    {0xffffffff, 0xffffffff, 0},
    {0x3fffffff, 0xffffffff, 1}, /* a window of 2^30 across the wrap */
};

static void test_order(void)
{
    for (unsigned i = 0; i < HG_ARRAY_LEN(rows); i++) {
        uint32_t a = rows[i].a, b = rows[i].b;
        int o = rows[i].order;
        CU_ASSERT_EQUAL(seq_lt(a, b), o < 0);
        CU_ASSERT_EQUAL(seq_le(a, b), o <= 0);
        CU_ASSERT_EQUAL(seq_gt(a, b), o > 0);
        CU_ASSERT_EQUAL(seq_ge(a, b), o >= 0);
        CU_ASSERT_EQUAL(seq_max(a, b), o > 0 ? a : b);
        CU_ASSERT_EQUAL(seq_min(a, b), o > 0 ? b : a);
    }
}

static void test_order_does_not_depend_on_the_origin(void)
{
    for (unsigned i = 0; i < HG_ARRAY_LEN(rows); i++)
        for (uint32_t shift = 1; shift; shift <<= 1)
            CU_ASSERT_EQUAL(seq_lt(rows[i].a + shift, rows[i].b + shift), rows[i].order < 0);
}

static void test_within(void)
{
    CU_ASSERT_TRUE(seq_within(0xfffffffe, 0xfffffff0, 4));
    CU_ASSERT_TRUE(seq_within(3, 0xfffffff0, 4));
    CU_ASSERT_FALSE(seq_within(4, 0xfffffff0, 4));
    CU_ASSERT_FALSE(seq_within(0xffffffef, 0xfffffff0, 4));
    CU_ASSERT_TRUE(seq_within(7, 7, 8));
    CU_ASSERT_FALSE(seq_within(7, 7, 7)); /* an empty range holds nothing */
}

int main(void)
{
    static const struct suite_test tests[] = {
        {"order, every wrap case", test_order},
        {"order does not depend on the origin", test_order_does_not_depend_on_the_origin},
        {"within a range", test_within},
    };
    return suite_run("tcp_seq", tests, HG_ARRAY_LEN(tests));
}
