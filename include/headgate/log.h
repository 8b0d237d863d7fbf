/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Log lines through rte_log, so that EAL's log stream, level and syslog settings apply.
 *
 * A line names the peer, source, volume or device it is about. Lines that the outside world can
 * provoke go through hg_log_limited(), which bounds them and says how many it held back.
 */
#ifndef HEADGATE_LOG_H
#define HEADGATE_LOG_H

#include <headgate/base.h>

enum hg_log_level { HG_LOG_ERR = 4, HG_LOG_WARN = 5, HG_LOG_INFO = 7, HG_LOG_DEBUG = 8 };

/* Writes "headgate: AREA: text\n". Any thread; makes a system call, so never on the data path in
 * the good case. */
void hg_log(enum hg_log_level level, const char *area, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* At most `burst` lines per second; owned by one shard, zero-initialised. */
struct hg_log_limit {
    hg_ns window_start;
    uint32_t in_window;
    uint32_t held_back; /* lines suppressed since the last one written */
};

/* As hg_log(), but at most 20 lines per second for this limit; returns 1 when written. */
int hg_log_limited(struct hg_log_limit *limit, hg_ns now, enum hg_log_level level, const char *area,
                   const char *fmt, ...) __attribute__((format(printf, 5, 6)));

#endif /* HEADGATE_LOG_H */
