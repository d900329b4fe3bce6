import { readFileSync, statSync } from 'node:fs'
import { createSecureContext } from 'node:tls'
import type { ConnectionOptions, SecureContext } from 'node:tls'
import type { RedisTls } from '../config/redis-settings.ts'

/**
 * The options of TLS for every connection to Redis. The files are read when a connection is made, where they changed
 * since the last one, so that renewed certificates need no restart.
 *
 * @throws Error when a file cannot be read or used
 */
export function redisTlsOptions({ serverName, ...files }: RedisTls): ConnectionOptions {
  let seen = ''
  let context: SecureContext | undefined
  const secureContext = (): SecureContext => {
    const now = stateOf(files)
    if (context === undefined || seen !== now) context = contextOf(files)
    seen = now
    return context
  }
  secureContext()
  return {
    minVersion: 'TLSv1.2',
    ...(serverName === undefined ? {} : { servername: serverName }),
    // ioredis copies these options for each connection, and thereby asks.
    get secureContext() {
      return secureContext()
    },
  }
}

type Files = Omit<RedisTls, 'serverName'>

function contextOf({ caFile, certificateFile, keyFile }: Files): SecureContext {
  return createSecureContext({
    minVersion: 'TLSv1.2',
    ...(caFile === undefined ? {} : { ca: readFileSync(caFile) }),
    ...(certificateFile === undefined ? {} : { cert: readFileSync(certificateFile) }),
    ...(keyFile === undefined ? {} : { key: readFileSync(keyFile) }),
  })
}

/** Changes whenever one of the files is written or replaced. */
function stateOf({ caFile, certificateFile, keyFile }: Files): string {
  return [caFile, certificateFile, keyFile]
    .map((file) => {
      if (file === undefined) return ''
      const { ino, mtimeMs, size } = statSync(file)
      return `${ino}:${mtimeMs}:${size}`
    })
    .join()
}
