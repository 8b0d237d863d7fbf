/* SPDX-License-Identifier: BSD-3-Clause */
/* What the node shows to others and whom it trusts: TLS contexts from the profile, and loading them anew. */
#include "node.h"
#include <headgate/log.h>
#include <string.h>

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
        .alpn_optional = true,
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

void node_reload(struct node *node)
{
    struct node_tls tls;
    struct hg_err err;

    if (node_tls_contexts(&node->cfg, &tls, &err) != 0) {
        hg_log(HG_LOG_ERR, "node", "reload failed, the old certificates stay: %s", err.text);
        return;
    }
    for (unsigned i = 0; i < node->n_shards; i++) {
        struct tls_call t = {.tls = tls};

        node_call(node->shards[i], &t.sync, set_tls_fn);
    }
    node_tls_unref(&node->tls);
    node->tls = tls;
    hg_log(HG_LOG_INFO, "node", "certificates reloaded");
}
