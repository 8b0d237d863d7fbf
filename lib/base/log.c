/* SPDX-License-Identifier: BSD-3-Clause */
#include <headgate/log.h>
#include <rte_log.h>
#include <stdarg.h>
#include <stdio.h>

#define LINES_PER_SECOND 20

static void log_text(enum hg_log_level level, const char *area, const char *text)
{
    rte_log((uint32_t)level, RTE_LOGTYPE_USER1, "headgate: %s: %s\n", area, text);
}

void hg_log(enum hg_log_level level, const char *area, const char *fmt, ...)
{
    char text[1024];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    log_text(level, area, text);
}

int hg_log_limited(struct hg_log_limit *limit, hg_ns now, enum hg_log_level level, const char *area,
                   const char *fmt, ...)
{
    char text[1024];
    va_list ap;

    if (now - limit->window_start >= HG_SEC(1)) {
        limit->window_start = now;
        limit->in_window = 0;
        if (limit->held_back != 0) {
            hg_log(level, area, "%u lines like the next were held back", limit->held_back);
            limit->held_back = 0;
        }
    }
    if (limit->in_window >= LINES_PER_SECOND) {
        limit->held_back++;
        return 0;
    }
    limit->in_window++;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    log_text(level, area, text);
    return 1;
}
