import { randomBytes } from 'node:crypto'

const standardAlphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'
const bcryptAlphabet = './ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789'

/**
 * Makes what looks like a bcrypt hash and takes as long to compare with, but belongs to no password: its 184 bits of hash
 * are random like its salt. Made without hashing, so one of any cost is had at once.
 *
 * @param cost 4 to 31
 */
export function decoyHash(cost: number, random: (size: number) => Buffer = randomBytes): string {
  return `$2b$${String(cost).padStart(2, '0')}$${encode(random(16))}${encode(random(23))}`
}

/** Base64 with bcrypt's own order of signs, and without padding. */
function encode(bytes: Buffer): string {
  return bytes
    .toString('base64')
    .replace(/=+$/, '')
    .replace(/./g, (sign) => bcryptAlphabet.charAt(standardAlphabet.indexOf(sign)))
}
