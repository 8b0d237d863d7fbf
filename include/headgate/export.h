/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Stream of an export on the control socket. First a JSON line {"size": N} or {"error": "..."};
 * then pieces, each a header and len bytes of data; what no piece covers is zeros. The last header
 * has len 0: status 0 when everything was sent and every CRC was right, else an errno value, with
 * offset naming where. Little-endian; data CRC32C is that of the piece, made from the stored ones.
 */
#ifndef HEADGATE_EXPORT_H
#define HEADGATE_EXPORT_H

#include <headgate/endian.h>

struct hg_export_piece {
    hg_le64 offset;
    hg_le32 len;
    hg_le32 crc;
    hg_le32 status;
    hg_le32 reserved;
};
_Static_assert(sizeof(struct hg_export_piece) == 24, "piece header is 24 bytes");

#endif /* HEADGATE_EXPORT_H */
