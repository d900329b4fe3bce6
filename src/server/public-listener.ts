import { randomUUID } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import type { Config } from '../config/schema.ts'
import { rawErrorResponse } from '../error-response.ts'
import type { ErrorResponseSettings } from '../error-response.ts'
import type { SecurityHeaders } from '../headers/security-headers.ts'
import type { CertificatePair } from '../listener/certificate-pair.ts'
import { createListener } from '../listener/listen.ts'
import type { Listener } from '../listener/listen.ts'
import { createRedirectListener } from '../listener/redirect.ts'
import { createTlsContexts } from '../listener/tls-contexts.ts'
import type { CertificatePairs, LoadedCertificate, TlsContexts } from '../listener/tls-contexts.ts'
import { RegistryError } from '../registry/error.ts'
import type { Events } from '../telemetry/events.ts'

/** What every answer has, whichever way it is sent. */
export type AnswerSettings = { readonly errors: ErrorResponseSettings; readonly securityHeaders: SecurityHeaders }

export type PublicListener = {
  readonly listener: Listener
  /** Those that are served at this moment; none where TLS is off. */
  readonly certificates: () => readonly LoadedCertificate[]
  /**
   * Serves the certificates that a configuration names from the next handshake on.
   *
   * @throws TlsCertificateError or an Error of the file system; everything stays as it was
   */
  readonly replaceCertificates: (config: Config) => Promise<void>
}

type TlsSettings = Extract<Config['tls'], { readonly enabled: true }>

/**
 * Makes the listener that clients connect to, with its certificates.
 *
 * @throws TlsCertificateError or an Error of the file system when a certificate or key cannot be used
 */
export async function createPublicListener(
  config: Config,
  events: Events,
  { errors, securityHeaders }: AnswerSettings,
): Promise<PublicListener> {
  const { listen, client } = config
  const contexts = config.tls.enabled ? await loadCertificates(config.tls, events) : undefined
  const listener = createListener({
    host: listen.host,
    port: listen.port,
    maxConnections: listen.maxConnections,
    deadlines: client,
    tls: contexts,
    proxyProtocolFrom: listen.proxyProtocol.from,
    observer: events,
    answerPlainHttp: () =>
      rawErrorResponse(new RegistryError('plainHttpRefused'), randomUUID(), securityHeaders, errors),
  })
  return {
    listener,
    certificates: () => contexts?.certificates() ?? [],
    replaceCertificates: async ({ tls }) => {
      if (contexts === undefined || !tls.enabled) return
      contexts.replace(await readPairs(tls))
      for (const certificate of contexts.certificates()) events.certificateLoaded(certificate)
    },
  }
}

/** Makes the listener that only redirects to https, where one is configured. */
export function createHttpRedirect({ listen }: Config, publicUrl: URL, events: Events): Listener | undefined {
  const { redirectFrom, proxyProtocol } = listen
  if (!redirectFrom.enabled) return undefined
  return createRedirectListener({
    host: redirectFrom.host,
    port: redirectFrom.port,
    publicUrl,
    proxyProtocolFrom: proxyProtocol.from,
    observer: events,
    newRequestId: () => randomUUID(),
  })
}

async function loadCertificates(tls: TlsSettings, events: Events): Promise<TlsContexts> {
  const contexts = createTlsContexts(await readPairs(tls), { now: () => new Date() })
  for (const certificate of contexts.certificates()) events.certificateLoaded(certificate)
  return contexts
}

async function readPairs({ certificateFile, keyFile, certificates }: TlsSettings): Promise<CertificatePairs> {
  const first = await readPair({ certificateFile, keyFile })
  return [first, ...(await Promise.all(certificates.map(readPair)))]
}

async function readPair({
  certificateFile,
  keyFile,
}: Pick<CertificatePair, 'certificateFile' | 'keyFile'>): Promise<CertificatePair> {
  const [certificatePem, keyPem] = await Promise.all([readFile(certificateFile, 'utf8'), readFile(keyFile, 'utf8')])
  return { certificateFile, certificatePem, keyFile, keyPem }
}
