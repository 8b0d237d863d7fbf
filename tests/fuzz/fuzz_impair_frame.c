/* SPDX-License-Identifier: BSD-3-Clause */
/* Frames on a bad path: any bytes are read, marked and answered within their bounds. */
#include <headgate/impair.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int ok)
{
    if (!ok)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t answer[HG_IMPAIR_ANSWER_MAX], second[HG_IMPAIR_ANSWER_MAX];
    uint8_t *copy = malloc(size ? size : 1); /* of exactly that size, so that the sanitizer sees */

    check(copy != NULL);
    if (size)
        memcpy(copy, data, size);
    uint32_t len = hg_impair_frame_too_big(copy, (uint32_t)size, 1400, answer);
    check(len <= sizeof answer);
    /* No answer is answered: two paths cannot keep each other busy. */
    check(len == 0 || hg_impair_frame_too_big(answer, len, 1400, second) == 0);
    bool ect = hg_impair_frame_ect(copy, (uint32_t)size);
    hg_impair_frame_mark_ce(copy, (uint32_t)size);
    check(!ect || hg_impair_frame_ect(copy, (uint32_t)size));
    check(size == 0 || ect || hg_impair_frame_ect(copy, (uint32_t)size) ||
          memcmp(copy, data, size) == 0);
    free(copy);
    return 0;
}
