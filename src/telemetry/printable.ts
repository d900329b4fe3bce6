/** Texts of clients and of libraries, made fit to stand in a log, an audit line or an error of the log. */

const maxLength = 256

/** Bounds a text and takes out its control characters, line separators and halves of surrogate pairs. */
export function printable(text: string): string {
  const bounded = text.length > maxLength ? text.slice(0, maxLength) : text
  return /^[ -~]*$/.test(bounded) ? bounded : bounded.replace(/[\p{Cc}\p{Zl}\p{Zp}\p{Cs}\p{Bidi_Control}]/gu, '')
}

/**
 * The path of a raw request target: what follows a question mark (escaped or not), a semicolon or a number sign is cut
 * off, since upload states and signatures stand there, and so is what stands before an `@` in an authority.
 */
export function printablePath(rawTarget: string): string {
  const path = rawTarget.split(/[?#;]|%(?:3f|23|3b)/i, 1)[0] ?? ''
  return printable(path.replace(/\/\/[^/]*@/, '//'))
}

/** Takes out of a text what could be a credential: an Authorization value, the user part and the query of an address. */
export function withoutSecrets(text: string): string {
  return text
    .replace(/\b(Basic|Bearer|Negotiate|Digest)\s+[A-Za-z0-9+/=._~-]{4,}/gi, '$1 [removed]')
    .replace(/\/\/[^/\s@]*@/g, '//[removed]@')
    .replace(/\?[^\s"']*=[^\s"']*/g, '?[removed]')
}
