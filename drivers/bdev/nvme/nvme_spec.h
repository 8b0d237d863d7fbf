/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * NVM Express on the wire: registers, queue entries, data structures and numbers of the base
 * specification 2.0 ("base") and the NVM command set specification 1.0 ("NVM"), as far as the driver
 * and the emulated controller use them. Nothing else is here. Sections are cited as base spec or NVM
 * spec; what 1.4 has in one document is the same to the bit.
 */
#ifndef DRIVERS_BDEV_NVME_NVME_SPEC_H
#define DRIVERS_BDEV_NVME_NVME_SPEC_H

#include <headgate/endian.h>
#include <stddef.h>

/* ---- controller registers: base spec 3.1.3; offsets in bytes from BAR0 ---- */

enum nvme_reg {
    NVME_REG_CAP = 0x00,   /* 64 bits */
    NVME_REG_VS = 0x08,    /* major 31:16, minor 15:8, tertiary 7:0 */
    NVME_REG_INTMS = 0x0c, /* interrupt mask set */
    NVME_REG_CC = 0x14,
    NVME_REG_CSTS = 0x1c,
    NVME_REG_AQA = 0x24, /* ACQS 27:16, ASQS 11:0, both 0's based */
    NVME_REG_ASQ = 0x28, /* 64 bits */
    NVME_REG_ACQ = 0x30, /* 64 bits */
    NVME_REG_DOORBELL = 0x1000
};

/* CAP: controller capabilities, 3.1.3.1 */
#define NVME_CAP_MQES(cap) ((unsigned)((cap)&0xffff))     /* largest queue, entries, 0's based */
#define NVME_CAP_CQR(cap) ((unsigned)((cap) >> 16 & 0x1)) /* queues must be contiguous */
#define NVME_CAP_TO(cap) ((unsigned)((cap) >> 24 & 0xff)) /* for RDY to change, 500 ms */
#define NVME_CAP_DSTRD(cap)                                                                        \
    ((unsigned)((cap) >> 32 & 0xf)) /* doorbells are 4 << DSTRD bytes apart */
#define NVME_CAP_CSS(cap) ((unsigned)((cap) >> 37 & 0xff))   /* command sets; bit 0: NVM */
#define NVME_CAP_MPSMIN(cap) ((unsigned)((cap) >> 48 & 0xf)) /* smallest page: 4096 << MPSMIN */
#define NVME_CAP_MPSMAX(cap) ((unsigned)((cap) >> 52 & 0xf))

/* CC: controller configuration, 3.1.3.5 */
#define NVME_CC_EN (1u << 0)
#define NVME_CC_MPS(shift) ((uint32_t)(shift) << 7) /* page size 4096 << shift */
#define NVME_CC_SHN_NORMAL (1u << 14)
#define NVME_CC_SHN_MASK (3u << 14)
#define NVME_CC_IOSQES (6u << 16) /* 2^6 bytes */
#define NVME_CC_IOCQES (4u << 20) /* 2^4 bytes */

/* CSTS: controller status, 3.1.3.6 */
#define NVME_CSTS_RDY (1u << 0)
#define NVME_CSTS_CFS (1u << 1) /* controller fatal status */
#define NVME_CSTS_SHST(csts) ((csts) >> 2 & 0x3)
#define NVME_SHST_NORMAL 0u
#define NVME_SHST_OCCURRING 1u
#define NVME_SHST_COMPLETE 2u

/* What a read from a device that is no longer on the bus gives (PCI Express base spec 2.3.2). */
#define NVME_REG_GONE UINT32_MAX

/* ---- queue entries: base spec 3.3.3 ---- */

struct nvme_sqe {
    uint8_t opc;
    uint8_t flags; /* FUSE 1:0, PSDT 7:6 */
    hg_le16 cid;
    hg_le32 nsid;
    hg_le32 cdw2, cdw3;
    hg_le64 mptr;
    hg_le64 dptr[2]; /* PRP1 and PRP2, or one SGL descriptor */
    hg_le32 cdw10, cdw11, cdw12, cdw13, cdw14, cdw15;
} __attribute__((aligned(64)));
_Static_assert(sizeof(struct nvme_sqe) == 64, "base spec 3.3.3.1");
_Static_assert(offsetof(struct nvme_sqe, dptr) == 24, "base spec 3.3.3.1");
_Static_assert(offsetof(struct nvme_sqe, cdw10) == 40, "base spec 3.3.3.1");

#define NVME_SQE_PSDT_SGL (1u << 6) /* SGL; MPTR is the address of one buffer */

struct nvme_cqe {
    hg_le32 dw0, dw1;
    hg_le16 sqhd; /* submission queue head */
    hg_le16 sqid;
    hg_le16 cid;
    hg_le16 status; /* see NVME_STATUS_ */
} __attribute__((aligned(16)));
_Static_assert(sizeof(struct nvme_cqe) == 16, "base spec 3.3.3.2");
_Static_assert(offsetof(struct nvme_cqe, status) == 14, "base spec 3.3.3.2");

#define NVME_CQE_PHASE 0x1u                             /* of the status word */
#define NVME_STATUS_SC(st) ((unsigned)(st) >> 1 & 0xff) /* status code */
#define NVME_STATUS_SCT(st) ((unsigned)(st) >> 9 & 0x7) /* status code type */
#define NVME_STATUS_DNR (1u << 15)                      /* do not retry */
#define NVME_STATUS_MAKE(sct, sc) ((uint16_t)((unsigned)(sct) << 9 | (unsigned)(sc) << 1))

/* Scatter gather list descriptor, base spec 4.1.2 */
struct nvme_sgl_desc {
    hg_le64 addr;
    hg_le32 len; /* bytes */
    uint8_t zero[3];
    uint8_t type; /* descriptor type 7:4, sub type 3:0 (0: address) */
};
_Static_assert(sizeof(struct nvme_sgl_desc) == 16, "base spec 4.1.2");
enum { NVME_SGL_DATA = 0x00, NVME_SGL_SEGMENT = 0x20, NVME_SGL_LAST_SEGMENT = 0x30 };

/* ---- opcodes ---- */

enum nvme_admin_opc { /* base spec 5, figure "Opcodes for Admin Commands" */
                      NVME_ADM_DELETE_SQ = 0x00,
                      NVME_ADM_CREATE_SQ = 0x01,
                      NVME_ADM_GET_LOG_PAGE = 0x02,
                      NVME_ADM_DELETE_CQ = 0x04,
                      NVME_ADM_CREATE_CQ = 0x05,
                      NVME_ADM_IDENTIFY = 0x06,
                      NVME_ADM_ABORT = 0x08,
                      NVME_ADM_SET_FEATURES = 0x09,
                      NVME_ADM_GET_FEATURES = 0x0a,
                      NVME_ADM_ASYNC_EVENT = 0x0c,
                      NVME_ADM_DBBUF_CONFIG = 0x7c
};

enum nvme_nvm_opc { /* NVM spec 3 */
                    NVME_NVM_FLUSH = 0x00,
                    NVME_NVM_WRITE = 0x01,
                    NVME_NVM_READ = 0x02,
                    NVME_NVM_WRITE_ZEROES = 0x08,
                    NVME_NVM_DSM = 0x09
};

/* Read, write, write zeroes: CDW12, NVM spec 3.2.4, 3.2.6, 3.2.8; NLB 15:0 is 0's based */
#define NVME_RW_FUA (1u << 30)
#define NVME_WZ_DEAC (1u << 25) /* may deallocate */
#define NVME_RW_BLOCKS_MAX 65536u

/* Dataset management, NVM spec 3.2.3 */
#define NVME_DSM_AD (1u << 2) /* CDW11: deallocate */
#define NVME_DSM_RANGES_MAX 256u
struct nvme_dsm_range {
    hg_le32 attributes;
    hg_le32 nlb; /* blocks; not 0's based */
    hg_le64 slba;
};
_Static_assert(sizeof(struct nvme_dsm_range) == 16, "NVM spec 3.2.3");

/* Create I/O queues, base spec 5.4, 5.5 */
#define NVME_QUEUE_PC (1u << 0) /* physically contiguous */

/* Identify: CNS, base spec 5.17 */
enum nvme_cns {
    NVME_CNS_NS = 0x00,
    NVME_CNS_CTRL = 0x01,
    NVME_CNS_NS_LIST = 0x02, /* 1024 identifiers of active namespaces above the given one */
    NVME_CNS_CTRL_NVM = 0x06 /* with CSI 0: limits of the NVM command set; since 2.0 */
};

/* Features, base spec 5.27.1 */
enum nvme_feature {
    NVME_FEAT_VWC = 0x06,        /* CDW11 / DW0 bit 0: volatile write cache enabled */
    NVME_FEAT_NUM_QUEUES = 0x07, /* NCQR 31:16, NSQR 15:0, 0's based, admin queues not counted */
    NVME_FEAT_ASYNC_EVENT = 0x0b /* bits 7:0 as critical warning, 8: namespace attributes */
};
#define NVME_AEC_SMART 0x1fu
#define NVME_AEC_NS_ATTR (1u << 8)

/* Log pages, base spec 5.16.1 */
enum nvme_log { NVME_LOG_ERROR = 0x01, NVME_LOG_SMART = 0x02, NVME_LOG_CHANGED_NS = 0x04 };
#define NVME_LOG_RAE (1u << 15) /* CDW10: the asynchronous event is not cleared by reading */
#define NVME_NSID_ALL 0xffffffffu

/* Asynchronous event, DW0 of its completion, base spec 5.2 */
#define NVME_AER_LOG(dw0) ((dw0) >> 16 & 0xff)
enum nvme_aer_type { NVME_AER_ERROR = 0, NVME_AER_SMART = 1, NVME_AER_NOTICE = 2 };
#define NVME_AER_NS_CHANGED 0x00u /* information of a notice */

/* ---- status: base spec 4.2.3 ---- */

enum nvme_sct {
    NVME_SCT_GENERIC = 0,
    NVME_SCT_SPECIFIC = 1,
    NVME_SCT_MEDIA = 2,
    NVME_SCT_PATH = 3
};

enum nvme_sc { /* generic command status */
               NVME_SC_SUCCESS = 0x00,
               NVME_SC_INVALID_OPCODE = 0x01,
               NVME_SC_INVALID_FIELD = 0x02,
               NVME_SC_CID_CONFLICT = 0x03,
               NVME_SC_DATA_TRANSFER_ERROR = 0x04,
               NVME_SC_POWER_LOSS_ABORT = 0x05,
               NVME_SC_INTERNAL = 0x06,
               NVME_SC_ABORT_REQUESTED = 0x07,
               NVME_SC_ABORT_SQ_DELETION = 0x08,
               NVME_SC_INVALID_NS = 0x0b,
               NVME_SC_INVALID_SGL_SEG = 0x0d,
               NVME_SC_INVALID_PRP_OFFSET = 0x13,
               NVME_SC_NS_WRITE_PROTECTED = 0x20,
               NVME_SC_LBA_OUT_OF_RANGE = 0x80,
               NVME_SC_CAPACITY_EXCEEDED = 0x81,
               NVME_SC_NS_NOT_READY = 0x82
};

enum nvme_sc_specific { /* command specific status */
                        NVME_SCS_INVALID_QID = 0x01,
                        NVME_SCS_INVALID_QSIZE = 0x02,
                        NVME_SCS_AER_LIMIT = 0x05,
                        NVME_SCS_INVALID_LOG_PAGE = 0x09,
                        NVME_SCS_INVALID_QUEUE_DELETION = 0x0c,
                        NVME_SCS_WRITE_TO_RO = 0x82
};

enum nvme_sc_media { /* media and data integrity errors */
                     NVME_SCM_WRITE_FAULT = 0x80,
                     NVME_SCM_UNRECOVERED_READ = 0x81,
                     NVME_SCM_GUARD_CHECK = 0x82,
                     NVME_SCM_DEALLOCATED = 0x87
};

/* ---- identify controller: base spec 5.17.2.1 ---- */

struct nvme_id_ctrl {
    hg_le16 vid, ssvid;
    char sn[20], mn[40], fr[8]; /* ASCII, padded with spaces, not terminated */
    uint8_t rab, ieee[3], cmic;
    uint8_t mdts; /* largest transfer: (4096 << MPSMIN) << mdts bytes; 0: no limit */
    hg_le16 cntlid;
    hg_le32 ver, rtd3r;
    hg_le32 rtd3e; /* us that a shutdown may take; 0: not told */
    hg_le32 oaes, ctratt;
    uint8_t rsvd100[156];
    hg_le16 oacs;
    uint8_t acl;  /* abort commands at once, 0's based */
    uint8_t aerl; /* asynchronous event requests at once, 0's based */
    uint8_t frmw, lpa, elpe, npss, avscc, apsta;
    hg_le16 wctemp, cctemp; /* Kelvin */
    uint8_t rsvd270[242];
    uint8_t sqes, cqes; /* required 3:0, largest 7:4, power of two */
    hg_le16 maxcmd;
    hg_le32 nn; /* number of namespaces */
    hg_le16 oncs, fuses;
    uint8_t fna;
    uint8_t vwc; /* bit 0: a volatile write cache is present */
    uint8_t rsvd526[10];
    hg_le32 sgls; /* 1:0 supported (2: dword aligned) */
    uint8_t rsvd540[228];
    char subnqn[256];
    uint8_t rsvd1024[3072];
};
_Static_assert(sizeof(struct nvme_id_ctrl) == 4096, "base spec 5.17.2.1");
_Static_assert(offsetof(struct nvme_id_ctrl, mdts) == 77, "base spec 5.17.2.1");
_Static_assert(offsetof(struct nvme_id_ctrl, rtd3e) == 88, "base spec 5.17.2.1");
_Static_assert(offsetof(struct nvme_id_ctrl, oacs) == 256, "base spec 5.17.2.1");
_Static_assert(offsetof(struct nvme_id_ctrl, wctemp) == 266, "base spec 5.17.2.1");
_Static_assert(offsetof(struct nvme_id_ctrl, sqes) == 512, "base spec 5.17.2.1");
_Static_assert(offsetof(struct nvme_id_ctrl, oncs) == 520, "base spec 5.17.2.1");
_Static_assert(offsetof(struct nvme_id_ctrl, sgls) == 536, "base spec 5.17.2.1");
_Static_assert(offsetof(struct nvme_id_ctrl, subnqn) == 768, "base spec 5.17.2.1");

#define NVME_OACS_DBBUF (1u << 8)
#define NVME_ONCS_DSM (1u << 2)
#define NVME_ONCS_WRITE_ZEROES (1u << 3)

/* I/O command set specific identify controller, NVM spec 4.1.5.2 */
struct nvme_id_ctrl_nvm {
    uint8_t vsl;
    uint8_t wzsl; /* largest write zeroes, as MDTS; 0: not told */
    uint8_t wusl;
    uint8_t dmrl;  /* ranges in one DSM; 0: not told */
    hg_le32 dmrsl; /* blocks in one range; 0: not told */
    hg_le64 dmsl;  /* blocks in all ranges; 0: not told */
    uint8_t rsvd16[4080];
};
_Static_assert(sizeof(struct nvme_id_ctrl_nvm) == 4096, "NVM spec 4.1.5.2");

/* ---- identify namespace: NVM spec 4.1.5.1 ---- */

struct nvme_lbaf {
    hg_le16 ms;    /* bytes of metadata for each block */
    uint8_t lbads; /* block size, power of two; 0: format not there */
    uint8_t rp;
};

struct nvme_id_ns {
    hg_le64 nsze, ncap, nuse; /* blocks */
    uint8_t nsfeat, nlbaf;
    uint8_t flbas; /* format in use: 3:0 and 6:5 (higher bits) */
    uint8_t mc, dpc;
    uint8_t dps; /* 2:0: protection information in use */
    uint8_t nmic, rescap, fpi;
    uint8_t dlfeat; /* 2:0: 1 deallocated blocks read as zeroes; 3: DEAC of write zeroes */
    uint8_t rsvd34[70];
    uint8_t nguid[16], eui64[8];
    struct nvme_lbaf lbaf[64];
    uint8_t rsvd384[3712];
};
_Static_assert(sizeof(struct nvme_id_ns) == 4096, "NVM spec 4.1.5.1");
_Static_assert(offsetof(struct nvme_id_ns, flbas) == 26, "NVM spec 4.1.5.1");
_Static_assert(offsetof(struct nvme_id_ns, dlfeat) == 33, "NVM spec 4.1.5.1");
_Static_assert(offsetof(struct nvme_id_ns, nguid) == 104, "NVM spec 4.1.5.1");
_Static_assert(offsetof(struct nvme_id_ns, lbaf) == 128, "NVM spec 4.1.5.1");

#define NVME_FLBAS_INDEX(f) ((unsigned)((f)&0xf) | (unsigned)((f) >> 1 & 0x30))
#define NVME_DLFEAT_ZEROES(f) (((f)&0x7) == 1)

/* ---- SMART / health information: base spec 5.16.1.3 ---- */

struct nvme_u128 {
    hg_le64 lo, hi;
};

struct nvme_smart {
    uint8_t critical_warning; /* 0 spare, 1 temperature, 2 reliability, 3 read only, 4 backup */
    hg_le16 temperature;      /* Kelvin */
    uint8_t avail_spare, spare_thresh, percent_used; /* percent */
    uint8_t rsvd6[26];
    struct nvme_u128 data_units_read, data_units_written; /* thousands of 512 bytes */
    struct nvme_u128 host_reads, host_writes, busy_time, power_cycles, power_on_hours;
    struct nvme_u128 unsafe_shutdowns, media_errors, error_log_entries;
    uint8_t rsvd192[320];
};
_Static_assert(sizeof(struct nvme_smart) == 512, "base spec 5.16.1.3");
_Static_assert(offsetof(struct nvme_smart, data_units_read) == 32, "base spec 5.16.1.3");
_Static_assert(offsetof(struct nvme_smart, media_errors) == 160, "base spec 5.16.1.3");

/* Error information log entry, base spec 5.16.1.2 */
struct nvme_error_entry {
    hg_le64 error_count; /* 0: the entry is not used */
    hg_le16 sqid, cid, status, param;
    hg_le64 lba;
    hg_le32 nsid;
    uint8_t vendor, trtype, rsvd30[2];
    hg_le64 cmd_specific;
    uint8_t rsvd40[24];
};
_Static_assert(sizeof(struct nvme_error_entry) == 64, "base spec 5.16.1.2");

#endif /* DRIVERS_BDEV_NVME_NVME_SPEC_H */
