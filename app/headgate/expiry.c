/* SPDX-License-Identifier: BSD-3-Clause */
#include "expiry.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#define DAY INT64_C(86400)

static void date_text(int64_t seconds, char text[32])
{
    time_t t = (time_t)seconds;
    struct tm tm;

    if (gmtime_r(&t, &tm) == NULL || strftime(text, 32, "%Y-%m-%d %H:%M:%S UTC", &tm) == 0)
        snprintf(text, 32, "?");
}

/* How long before its end a thing is spoken of. */
static int64_t warned_from(const struct hg_tls_item *item, int64_t warn)
{
    int64_t third = (item->until - item->from) / 3;

    return item->kind == HG_TLS_ITEM_CRL && third < warn ? third : warn;
}

/* "in 12 days" or "3 days ago"; days are whole ones. */
static void when_text(int64_t left, char *text, size_t size)
{
    int64_t days = (left < 0 ? -left : left) / DAY;

    if (days == 0)
        snprintf(text, size, left < 0 ? "less than a day ago" : "in less than a day");
    else
        snprintf(text, size, left < 0 ? "%" PRId64 " day%s ago" : "in %" PRId64 " day%s", days,
                 days == 1 ? "" : "s");
}

static void describe(const struct hg_tls_item *item, int64_t now, char text[EXPIRY_TEXT_MAX])
{
    static const char *const what[] = {"certificate", "CA", "revocation list of CA"};
    static const char *const todo[] = {
        "issue a new one and load it (headgatectl reload)",
        "add its successor to the file, issue new certificates and load them (headgatectl reload)",
        "get a new list and load it (headgatectl reload); without one all of this CA are refused",
    };
    char until[32], when[48];

    date_text(item->until, until);
    when_text(item->until - now, when, sizeof when);
    snprintf(text, EXPIRY_TEXT_MAX, "%s \"%s\"%s%s in %.200s %s %s, at %s: %s", what[item->kind],
             item->subject, item->key[0] == '\0' ? "" : ", ", item->key, item->file,
             item->until < now ? "expired" : "expires", when, until, todo[item->kind]);
}

unsigned expiry_warnings(const struct hg_tls_ctx *ctx, int64_t now, uint64_t days,
                         void (*say)(void *arg, enum hg_log_level level, const char *text),
                         void *arg)
{
    char text[EXPIRY_TEXT_MAX];
    struct hg_tls_item item;
    unsigned cursor = 0, n = 0;

    while (hg_tls_ctx_item(ctx, &cursor, now, &item)) {
        /* An older certificate beside a better one of its type ends unseen: that is what overlap is for. */
        if (item.until - now > warned_from(&item, (int64_t)days * DAY) ||
            (item.kind == HG_TLS_ITEM_CERT && !item.in_use))
            continue;
        describe(&item, now, text);
        say(arg, item.until < now ? HG_LOG_ERR : HG_LOG_WARN, text);
        n++;
    }
    return n;
}

int expiry_usable(const struct hg_tls_ctx *ctx, int64_t now, struct hg_err *err)
{
    bool valid[2] = {false, false}, seen[2] = {false, false};
    struct hg_tls_item item;
    char at[32], now_text[32];
    unsigned cursor = 0;

    date_text(now, now_text);
    while (hg_tls_ctx_item(ctx, &cursor, now, &item)) {
        bool good = item.from <= now && now <= item.until;

        if (item.kind != HG_TLS_ITEM_CRL) {
            seen[item.kind] = true;
            valid[item.kind] = valid[item.kind] || good;
            continue;
        }
        date_text(item.from > now ? item.from : item.until, at);
        if (!good)
            return hg_fail(
                err, -EINVAL,
                "CRL file %.200s: the list of CA \"%s\" %s %s, and the clock of this host "
                "says %s: get a new list",
                item.file, item.subject,
                item.from > now ? "is valid from" : "was to be replaced by", at, now_text);
    }
    for (unsigned kind = 0; kind < 2; kind++)
        if (seen[kind] && !valid[kind])
            return hg_fail(err, -EINVAL,
                           "no %s is valid now, when the clock of this host says %s: look at their "
                           "dates, and at the clock",
                           kind == HG_TLS_ITEM_CERT ? "certificate of ours" : "CA", now_text);
    return 0;
}
