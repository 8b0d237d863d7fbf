/* SPDX-License-Identifier: BSD-3-Clause */
/* Faults of the emulated controller: which command triggers which, and their text form. */
#include "nvme_emu_impl.h"
#include <errno.h>
#include <headgate/units.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct nvme_emu_fault *emu_fault_match(struct nvme_emu *emu, const struct emu_req *req)
{
    const struct nvme_emu_fault *hit = NULL;

    for (unsigned i = 0; i < emu->n_faults; i++) {
        struct emu_fault *f = &emu->faults[i];
        uint64_t last = f->f.last != 0 ? f->f.last : f->f.first;

        if (f->f.admin != (req->sq->qid == 0) ||
            (f->f.opc != NVME_EMU_ANY && f->f.opc != req->sqe.opc))
            continue;
        f->seen++;
        if (f->seen < f->f.first || f->seen > last || hit != NULL)
            continue;
        f->fired++;
        hit = &f->f;
    }
    return hit;
}

int nvme_emu_fault_add(struct nvme_emu *emu, const struct nvme_emu_fault *fault)
{
    int rc = -ENOSPC;

    emu_lock(emu);
    if (emu->n_faults < NVME_EMU_FAULTS_MAX) {
        emu->faults[emu->n_faults] = (struct emu_fault){.f = *fault};
        rc = (int)emu->n_faults++;
    }
    emu_unlock(emu);
    return rc;
}

uint64_t nvme_emu_fault_fired(struct nvme_emu *emu, int fault)
{
    uint64_t n = 0;

    emu_lock(emu);
    if (fault >= 0 && (unsigned)fault < emu->n_faults)
        n = emu->faults[fault].fired;
    emu_unlock(emu);
    return n;
}

void nvme_emu_fault_clear(struct nvme_emu *emu)
{
    emu_lock(emu);
    emu->n_faults = 0;
    emu_unlock(emu);
}

/* ---- text form ---- */

static const char *const kinds[NVME_EMU_FAULT_KINDS] = {
    [NVME_EMU_FAIL] = "fail",           [NVME_EMU_LOSE] = "lose",
    [NVME_EMU_DUPLICATE] = "duplicate", [NVME_EMU_CID_FREE] = "cid-free",
    [NVME_EMU_CID_RANGE] = "cid-range", [NVME_EMU_SQID] = "sqid",
    [NVME_EMU_SQHD] = "sqhd",           [NVME_EMU_LATE] = "late",
    [NVME_EMU_FATAL] = "fatal",         [NVME_EMU_DIE] = "die",
    [NVME_EMU_REMOVE] = "remove",
};

static const struct {
    const char *name;
    unsigned opc;
    bool admin;
} commands[] = {
    {"read", NVME_NVM_READ, false},
    {"write", NVME_NVM_WRITE, false},
    {"flush", NVME_NVM_FLUSH, false},
    {"write-zeroes", NVME_NVM_WRITE_ZEROES, false},
    {"dsm", NVME_NVM_DSM, false},
    {"io", NVME_EMU_ANY, false},
    {"identify", NVME_ADM_IDENTIFY, true},
    {"get-log", NVME_ADM_GET_LOG_PAGE, true},
    {"set-features", NVME_ADM_SET_FEATURES, true},
    {"get-features", NVME_ADM_GET_FEATURES, true},
    {"create-cq", NVME_ADM_CREATE_CQ, true},
    {"create-sq", NVME_ADM_CREATE_SQ, true},
    {"delete-cq", NVME_ADM_DELETE_CQ, true},
    {"delete-sq", NVME_ADM_DELETE_SQ, true},
    {"abort", NVME_ADM_ABORT, true},
    {"aer", NVME_ADM_ASYNC_EVENT, true},
    {"dbbuf", NVME_ADM_DBBUF_CONFIG, true},
    {"admin", NVME_EMU_ANY, true},
};

static bool parse_kind(const char *word, struct nvme_emu_fault *out)
{
    for (unsigned i = 0; i < NVME_EMU_FAULT_KINDS; i++) {
        if (strcmp(word, kinds[i]) == 0) {
            out->kind = (enum nvme_emu_fault_kind)i;
            return true;
        }
    }
    return false;
}

static bool parse_command(const char *word, struct nvme_emu_fault *out)
{
    for (unsigned i = 0; i < HG_ARRAY_LEN(commands); i++) {
        if (strcmp(word, commands[i].name) == 0) {
            out->opc = commands[i].opc;
            out->admin = commands[i].admin;
            return true;
        }
    }
    return false;
}

/* N, N-M or N- */
static bool parse_count(char *word, struct nvme_emu_fault *out)
{
    char *dash = strchr(word, '-');

    if (dash != NULL)
        *dash++ = '\0';
    if (hg_units_count(word, &out->first) != 0 || out->first == 0)
        return false;
    if (dash == NULL)
        return true;
    if (*dash == '\0') {
        out->last = NVME_EMU_FOREVER;
        return true;
    }
    return hg_units_count(dash, &out->last) == 0 && out->last >= out->first;
}

/* SCT/SC, and /dnr after it, or a time. */
static bool parse_value(const char *word, struct nvme_emu_fault *out)
{
    unsigned sct;
    unsigned sc;
    int used = -1;

    if (out->kind == NVME_EMU_LATE) {
        out->delay_ns = NVME_EMU_NEVER;
        return strcmp(word, "never") == 0 || hg_units_time(word, &out->delay_ns) == 0;
    }
    if (out->kind != NVME_EMU_FAIL || sscanf(word, "%1x/%2x%n", &sct, &sc, &used) != 2 || used < 0)
        return false;
    out->status = NVME_STATUS_MAKE(sct & 7, sc);
    if (strcmp(word + used, "/dnr") == 0)
        out->status |= NVME_STATUS_DNR;
    else if (word[used] != '\0')
        return false;
    return out->status != 0;
}

int nvme_emu_fault_parse(const char *text, struct nvme_emu_fault *out, struct hg_err *err)
{
    char copy[64];
    char *save = NULL;
    char *kind;
    char *command;
    char *count;
    char *value;
    bool wants_value;

    *out = (struct nvme_emu_fault){0};
    if (snprintf(copy, sizeof copy, "%s", text) >= (int)sizeof copy)
        return hg_fail(err, -EINVAL, "fault '%.40s...': too long", text);
    kind = strtok_r(copy, "=", &save);
    command = strtok_r(NULL, ":", &save);
    count = strtok_r(NULL, ":", &save);
    value = strtok_r(NULL, "", &save);
    if (kind == NULL || command == NULL || count == NULL || !parse_kind(kind, out) ||
        !parse_command(command, out) || !parse_count(count, out))
        return hg_fail(err, -EINVAL, "fault '%s': it is KIND=COMMAND:N[-[M]][:VALUE]", text);
    wants_value = out->kind == NVME_EMU_FAIL || out->kind == NVME_EMU_LATE;
    if (wants_value != (value != NULL) || (value != NULL && !parse_value(value, out)))
        return hg_fail(err, -EINVAL,
                       "fault '%s': fail has a value SCT/SC[/dnr], late a time or never, "
                       "the others none",
                       text);
    return 0;
}
