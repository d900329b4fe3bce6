import { readFileSync } from 'node:fs'
import { createSecureContext } from 'node:tls'
import type { ConnectionOptions, SecureContext } from 'node:tls'
import type { RedisTls } from '../config/redis-settings.ts'

/**
 * The options of TLS for every connection to Redis. The files are read whenever a connection is made, so that renewed
 * certificates need no restart; files that cannot be used at that time leave it at those before.
 *
 * @throws Error now, when a file cannot be read or used; it names the key
 */
export function redisTlsOptions(settings: RedisTls): ConnectionOptions {
  const { serverName } = settings
  let last = contextOf(settings)
  return {
    ...(serverName === undefined ? {} : { servername: serverName }),
    // ioredis copies these options for each connection, and so asks each time. It would not get over an error here.
    get secureContext() {
      try {
        last = contextOf(settings, last)
      } catch {
        // As it is while files are being replaced: the certificate is not yet there, or the key not yet its own.
      }
      return last.context
    },
  }
}

type Made = { readonly from: string; readonly context: SecureContext }

/** Makes the context anew only where a file says something new: with the authorities of Node, it takes a while. */
function contextOf({ caFile, certificateFile, keyFile }: RedisTls, last?: Made): Made {
  const ca = readPem('caFile', caFile)
  const cert = readPem('certificateFile', certificateFile)
  const key = readPem('keyFile', keyFile)
  const from = JSON.stringify([ca, cert, key])
  if (last?.from === from) return last
  try {
    const own = cert === undefined || key === undefined ? {} : { cert, key }
    return {
      from,
      context: createSecureContext({ minVersion: 'TLSv1.2', ...(ca === undefined ? {} : { ca }), ...own }),
    }
  } catch (cause) {
    const message = 'redis.tls cannot be used: the files must be PEM, and the key that of the certificate'
    throw new Error(message, { cause })
  }
}

function readPem(key: string, file: string | undefined): string | undefined {
  if (file === undefined) return undefined
  try {
    return readFileSync(file, 'utf8')
  } catch (cause) {
    throw new Error(`redis.tls.${key}: the file ${file} cannot be read`, { cause })
  }
}
