/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A capture on the control socket: after the answer's JSON line come pieces of the file, each whole
 * pcapng blocks behind its length, so that what a client has written is a readable file whenever the
 * stream ends. A length of 0 ends them; then comes one JSON line with the totals. A client that shuts
 * down its sending half asks for the end.
 */
#ifndef HEADGATE_CAPTURE_H
#define HEADGATE_CAPTURE_H

#include <headgate/endian.h>

#define HG_CAPTURE_PIECE_MAX (1u << 20) /* bytes of a piece, without its header */
#define HG_CAPTURE_SNAPLEN_MAX 65535u   /* bytes kept of a packet */
#define HG_CAPTURE_SNAPLEN_MIN 64u

struct hg_capture_piece {
    hg_le32 len;
};

#endif /* HEADGATE_CAPTURE_H */
