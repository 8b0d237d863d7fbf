/* SPDX-License-Identifier: BSD-3-Clause */
/* Controllers that differ from the specification, by their PCI identifiers; each row as the Linux
 * driver's table has it. */
#include "nvme_ctrl.h"

struct row {
    uint16_t vendor, device;
    unsigned quirks;
};

static const struct row rows[] = {
    {0x1c58, 0x0003, NVME_QUIRK_DELAY_READY}, /* HGST Ultrastar SN100 */
    {0x1c58, 0x0023, NVME_QUIRK_DELAY_READY}, /* WDC SN200 */
    {0x1c5f, 0x0540, NVME_QUIRK_DELAY_READY}, /* Memblaze PBlaze4 */
    {0x144d, 0xa821, NVME_QUIRK_DELAY_READY}, /* Samsung PM1725 */
    {0x144d, 0xa822, NVME_QUIRK_DELAY_READY | NVME_QUIRK_NO_WRITE_ZEROES}, /* Samsung PM1725a */
    {0x8086, 0x5845, NVME_QUIRK_NO_WRITE_ZEROES}, /* QEMU before 5.2, by Intel's number */
};

unsigned nvme_quirks(uint16_t vendor, uint16_t device)
{
    for (unsigned i = 0; i < HG_ARRAY_LEN(rows); i++)
        if (rows[i].vendor == vendor && rows[i].device == device)
            return rows[i].quirks;
    return 0;
}
