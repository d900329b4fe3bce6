/** The Castagnoli polynomial, bits reversed. */
const polynomial = 0x82_f6_3b_78

/** CRC-32C (RFC 3720 appendix B.4), which `node:zlib` does not have. */
export function crc32c(bytes: Uint8Array): number {
  let remainder = 0xff_ff_ff_ff
  for (const byte of bytes) {
    remainder ^= byte
    for (let bit = 0; bit < 8; bit += 1) remainder = (remainder >>> 1) ^ (remainder & 1 ? polynomial : 0)
  }
  return (remainder ^ 0xff_ff_ff_ff) >>> 0
}
