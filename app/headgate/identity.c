/* SPDX-License-Identifier: BSD-3-Clause */
/* What the node shows to others and whom it trusts: TLS contexts from the profile, and loading them anew. */
#include "expiry.h"
#include "node.h"
#include <headgate/log.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <time.h>

static enum hg_tls_version version(const char *text)
{
    return strcmp(text, "1.2") == 0 ? HG_TLS_1_2 : HG_TLS_1_3;
}

static enum hg_tls_client_cert client_cert(const char *text)
{
    return strcmp(text, "off") == 0     ? HG_TLS_CERT_OFF
           : strcmp(text, "asked") == 0 ? HG_TLS_CERT_ASKED
                                        : HG_TLS_CERT_REQUIRED;
}

/* A context of one listener; the sentence begins with its section. */
static int make_context(const struct hg_tls_cfg *common, const struct config_tls *listener,
                        const char *section, struct hg_tls_ctx **out, struct hg_err *err)
{
    struct hg_tls_cfg tls = *common;
    struct hg_err inner = {""};
    int rc;

    tls.min_version = version(listener->min_version);
    tls.max_version = version(listener->max_version);
    tls.suites = listener->suites[0] != '\0' ? listener->suites : NULL;
    tls.groups = listener->groups[0] != '\0' ? listener->groups : NULL;
    tls.client_cert = client_cert(listener->client_cert);
    rc = hg_tls_ctx_create(&tls, out, &inner);
    return rc == 0 ? 0 : hg_fail(err, rc, "[%s]: %.480s", section, inner.text);
}

int node_tls_contexts(const struct config *cfg, struct node_tls *out, struct hg_err *err)
{
    int rc;
    struct hg_tls_cfg tls = {
        .role = HG_TLS_SERVER,
        .provider = strcmp(cfg->provider, "openssl") == 0 ? HG_TLS_OPENSSL : HG_TLS_IPSEC_MB,
        .cert_file = cfg->cert,
        .key_file = cfg->key,
        .ca_file = cfg->ca,
        .crl_file = cfg->crl[0] != '\0' ? cfg->crl : NULL,
        .pins_file = cfg->pins[0] != '\0' ? cfg->pins : NULL,
        .pins_only = cfg->pins_only,
        .alpn = HG_PROTO_ALPN,
        .keylog_file = cfg->keylog[0] != '\0' ? cfg->keylog : NULL,
        .max_fragment = (uint32_t)cfg->max_fragment,
        .update_after = cfg->key_update_after,
        .tickets = (uint32_t)cfg->tickets,
        .ticket_lifetime = (uint32_t)(cfg->ticket_lifetime / HG_SEC(1)),
    };

    if (tls.keylog_file != NULL)
        hg_log(HG_LOG_WARN, "node", KEYLOG_WARNING, cfg->keylog);
    *out = (struct node_tls){NULL, NULL};
    rc = make_context(&tls, &cfg->tls, "tls", &out->ingest, err);
    tls.alpn = NULL; /* to the test services any TLS client may come, whatever protocol it names */
    tls.max_fragment = (uint32_t)cfg->test_max_fragment;
    tls.update_after = cfg->test_key_update_after;
    tls.tickets = (uint32_t)cfg->test_tickets;
    if (rc == 0 && cfg->test_services)
        rc = make_context(&tls, &cfg->test_tls, "test", &out->test, err);
    if (rc != 0)
        node_tls_unref(out);
    return rc;
}

void node_tls_unref(struct node_tls *tls)
{
    hg_tls_ctx_unref(tls->test);
    hg_tls_ctx_unref(tls->ingest);
    *tls = (struct node_tls){NULL, NULL};
}

/* ---- reload ---- */

struct tls_call {
    struct sync_call sync;
    struct node_tls tls;
};

static void set_tls_fn(struct hg_shard *shard, struct hg_call *call, hg_ns now)
{
    struct tls_call *t = HG_CONTAINER_OF(call, struct tls_call, sync.call);

    (void)now;
    hg_shard_set_tls(shard, t->tls.ingest, t->tls.test);
    atomic_store(&t->sync.done, true);
}

static int give_to_shards(struct node *node, const struct node_tls *tls, struct hg_err *err)
{
    for (unsigned i = 0; i < node->n_shards; i++) {
        struct tls_call t = {.tls = *tls};
        int rc = node_call(node->shards[i], &t.sync, set_tls_fn);

        if (rc != 0)
            return hg_fail(err, rc, "shard %u did not answer; it keeps what it had", i);
    }
    return 0;
}

/* NULL is free. */
static bool unused(const struct hg_tls_ctx *ctx)
{
    return ctx == NULL || hg_tls_ctx_is_last(ctx);
}

void node_tls_sweep(struct node *node, bool all)
{
    for (unsigned i = 0; i < NODE_TLS_OLD; i++)
        if (all || (unused(node->tls_old[i].ingest) && unused(node->tls_old[i].test)))
            node_tls_unref(&node->tls_old[i]);
}

static void tick(const struct node_tls *tls, int64_t now)
{
    if (tls->ingest != NULL)
        hg_tls_ctx_tick(tls->ingest, now);
    if (tls->test != NULL)
        hg_tls_ctx_tick(tls->test, now);
}

void node_tls_tick(struct node *node, int64_t now)
{
    tick(&node->tls, now);
    for (unsigned i = 0; i < NODE_TLS_OLD; i++)
        tick(&node->tls_old[i], now);
}

/* The oldest makes room. */
static void keep_old(struct node *node)
{
    node_tls_sweep(node, false);
    node_tls_unref(&node->tls_old[NODE_TLS_OLD - 1]);
    memmove(&node->tls_old[1], &node->tls_old[0], (NODE_TLS_OLD - 1) * sizeof node->tls_old[0]);
    node->tls_old[0] = node->tls;
}

/* What would lock everybody out is refused, unless what is in use does so already. */
static int check_dates(const struct node *node, const struct node_tls *tls, struct hg_err *err)
{
    int64_t now = (int64_t)time(NULL);

    return expiry_usable(node->tls.ingest, now, NULL) != 0 ? 0
                                                           : expiry_usable(tls->ingest, now, err);
}

int node_reload(struct node *node, struct hg_err *err)
{
    struct node_tls tls;
    int rc = node_tls_contexts(&node->cfg, &tls, err);

    if (rc == 0 && (rc = check_dates(node, &tls, err)) != 0)
        node_tls_unref(&tls);
    if (rc != 0) {
        hg_log(HG_LOG_ERR, "node", "reload failed, the old certificates stay: %s", err->text);
        return rc;
    }
    rc = give_to_shards(node, &tls, err);
    keep_old(node);
    node->tls = tls;
    if (rc != 0)
        hg_log(HG_LOG_ERR, "node", "reload: %s", err->text);
    else
        hg_log(HG_LOG_INFO, "node", "certificates reloaded");
    node_tls_log(node);
    return rc;
}

/* ---- what is in use ---- */

static void say_log(void *arg, enum hg_log_level level, const char *text)
{
    const char **first = arg;

    hg_log(level, "identity", "%s", text);
    if (*first == NULL)
        sd_notifyf(0, "STATUS=%s", text);
    *first = text;
}

void node_tls_log(const struct node *node)
{
    int64_t now = (int64_t)time(NULL);
    const char *first = NULL;
    struct hg_err err;

    if (expiry_usable(node->tls.ingest, now, &err) != 0)
        hg_log(HG_LOG_ERR, "identity", "no new session can begin: %s", err.text);
    if (expiry_warnings(node->tls.ingest, now, node->cfg.expiry_warning, say_log, &first) == 0)
        sd_notify(0, "STATUS=");
}

static void say_json(void *arg, enum hg_log_level level, const char *text)
{
    (void)level;
    json_array_append_new(arg, json_string(text));
}

void node_tls_warnings(const struct node *node, json_t *list)
{
    int64_t now = (int64_t)time(NULL);

    expiry_warnings(node->tls.ingest, now, node->cfg.expiry_warning, say_json, list);
}

static json_t *item_json(const struct hg_tls_item *item)
{
    json_t *o = json_pack(
        "{s:s, s:s, s:I, s:I}", "subject", item->subject, "file", item->file,
        item->kind == HG_TLS_ITEM_CRL ? "this_update" : "not_before", (json_int_t)item->from,
        item->kind == HG_TLS_ITEM_CRL ? "next_update" : "not_after", (json_int_t)item->until);

    if (item->kind == HG_TLS_ITEM_CERT) {
        json_object_set_new(o, "key", json_string(item->key));
        json_object_set_new(o, "in_use", json_boolean(item->in_use));
    }
    return o;
}

json_t *node_tls_report(const struct node *node)
{
    json_t *lists[] = {json_array(), json_array(), json_array()}, *warnings = json_array();
    int64_t now = (int64_t)time(NULL);
    struct hg_tls_item item;
    unsigned cursor = 0;

    while (hg_tls_ctx_item(node->tls.ingest, &cursor, now, &item))
        json_array_append_new(lists[item.kind], item_json(&item));
    node_tls_warnings(node, warnings);
    return json_pack("{s:o, s:o, s:o, s:i, s:o}", "certificates", lists[HG_TLS_ITEM_CERT], "cas",
                     lists[HG_TLS_ITEM_CA], "crls", lists[HG_TLS_ITEM_CRL], "pins",
                     (int)hg_tls_ctx_pins(node->tls.ingest), "warnings", warnings);
}
