/* SPDX-License-Identifier: BSD-3-Clause */
#include <headgate/base.h>
#include <stdarg.h>
#include <stdio.h>

int hg_fail(struct hg_err *err, int code, const char *fmt, ...)
{
    if (err != NULL) {
        va_list ap;

        va_start(ap, fmt);
        vsnprintf(err->text, sizeof err->text, fmt, ap);
        va_end(ap);
    }
    return code;
}
