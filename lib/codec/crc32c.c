/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * CRC32C through ISA-L, and combination of CRCs of adjacent ranges.
 *
 * With initial value and final xor all ones, crc(A||B) = crc(A) * x^(8|B|) xor crc(B) in GF(2)[x]
 * modulo the polynomial (reflected). The factor for one HG_BLOCK is a constant, so the CRC of a
 * whole extent comes from its blocks' for three instructions each and the data is read once.
 * PCLMULQDQ is required of the processor: intel-ipsec-mb needs it as well.
 */
#include <headgate/codec.h>
#include <isa-l.h>
#include <immintrin.h>

#define POLY 0x82f63b78u /* reflected Castagnoli */

uint32_t hg_crc32c_extend(uint32_t crc, const void *data, size_t len)
{
    const uint8_t *p = data;

    /* ISA-L takes an int length. */
    while (len > 1u << 30) {
        crc = ~crc32_iscsi((unsigned char *)(uintptr_t)p, 1 << 30, ~crc);
        p += 1u << 30;
        len -= 1u << 30;
    }
    return ~crc32_iscsi((unsigned char *)(uintptr_t)p, (int)len, ~crc);
}

uint32_t hg_crc32c(const void *data, size_t len)
{
    return hg_crc32c_extend(0, data, len);
}

/* a * b modulo the polynomial, both reflected (bit 31 is x^0). */
static uint32_t multiply(uint32_t a, uint32_t b)
{
    uint32_t product = 0;

    for (unsigned i = 0; i < 32; i++) {
        product ^= b & (0u - (a >> 31));
        a <<= 1;
        b = (b >> 1) ^ (POLY & (0u - (b & 1)));
    }
    return product;
}

/* x^(8 n) modulo the polynomial. */
static uint32_t power_of_bytes(uint64_t n)
{
    uint32_t result = 1u << 31; /* x^0 */
    uint32_t square = 1u << 23; /* x^8 */

    for (; n != 0; n >>= 1) {
        if (n & 1)
            result = multiply(result, square);
        square = multiply(square, square);
    }
    return result;
}

uint32_t hg_crc32c_combine(uint32_t crc_a, uint32_t crc_b, uint64_t len_b)
{
    return multiply(power_of_bytes(len_b), crc_a) ^ crc_b;
}

/*
 * crc * x^(8 * HG_BLOCK) in three instructions. A carry-less product of two reflected 32-bit values
 * is their product times x, and the CRC32 instruction multiplies by x^32 and reduces; so the
 * constant is x^(8 * HG_BLOCK - 33). The unit test checks it against multiply().
 */
#define BLOCK_FACTOR_33 0x82f89c77u

__attribute__((target("pclmul,sse4.2"))) static uint32_t shift_block(uint32_t crc)
{
    __m128i p = _mm_clmulepi64_si128(_mm_cvtsi32_si128((int)crc),
                                     _mm_cvtsi32_si128((int)BLOCK_FACTOR_33), 0);

    return (uint32_t)_mm_crc32_u64(0, (uint64_t)_mm_cvtsi128_si64(p));
}

uint32_t hg_crc32c_blocks(const uint8_t *data, uint32_t len, uint32_t *crc)
{
    static const uint8_t zeros[HG_BLOCK];
    uint32_t all = 0;
    uint32_t n = len / HG_BLOCK, rest = len % HG_BLOCK;

    for (uint32_t i = 0; i < n; i++) {
        crc[i] = hg_crc32c(data + (size_t)i * HG_BLOCK, HG_BLOCK);
        all = shift_block(all) ^ crc[i];
    }
    if (rest != 0) {
        uint32_t tail = hg_crc32c(data + (size_t)n * HG_BLOCK, rest);

        all = hg_crc32c_combine(all, tail, rest);
        crc[n] = hg_crc32c_extend(tail, zeros, HG_BLOCK - rest);
    }
    return all;
}
