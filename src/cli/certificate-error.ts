/** A request for certificates that cannot be fulfilled; the message is one sentence that names the value and the cure. */
export class CertificateError extends Error {
  override readonly name = 'CertificateError'
  readonly code = 'CERTIFICATES_REFUSED'
  readonly source = 'operator'
}
