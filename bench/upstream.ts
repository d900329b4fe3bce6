/** The registry behind every front, with the blob and the manifest that are asked for. */
import { createHash } from 'node:crypto'
import { existsSync, statfsSync } from 'node:fs'
import { request } from 'node:http'
import { startRealRegistry } from '../test/support/real-registry.ts'
import type { RealRegistry } from '../test/support/real-registry.ts'
import { bodyDigest } from './body.ts'
import type { Open } from './load/connection.ts'
import { answerTo, expectStatus, push } from './load/push.ts'

export const manifestType = 'application/vnd.oci.image.manifest.v1+json'

export type Blob = {
  readonly bytes: number
  readonly digest: string
}

export type Upstream = {
  readonly registry: RealRegistry
  /** `disk` where /dev/shm is too small for the blob. */
  readonly dataIn: 'disk' | 'memory'
  readonly repository: string
  readonly blob: Blob
  /** What slow clients begin to read: more than kernels hold for a connection, and no more than nginx may spool 200 times. */
  readonly slowBlob: Blob
  readonly manifestPath: string
  /** Of the manifest's bytes, in hexadecimal. */
  readonly manifestSha256: string
}

const slowBlobBytes = 16 * 1024 ** 2

/** Starts the registry and fills it. Its data lie in memory where they fit, for a disk would be what is measured. */
export async function startUpstream(bytes: number): Promise<Upstream> {
  const dataIn = fitsInMemory(bytes + slowBlobBytes) ? 'memory' : 'disk'
  const registry = await startRealRegistry({
    dataIn,
    isRelativeUrls: true,
    configuration: { log: { accesslog: { disabled: true } } },
  })
  try {
    const { port } = registry
    const open: Open = (options) => request({ host: '127.0.0.1', port, ...options })
    const repository = 'bench/image'
    const [blob, slowBlob] = [blobOf(bytes), blobOf(slowBlobBytes)]
    await push(open, { repository, ...blob })
    await push(open, { repository, ...slowBlob })
    const manifest = manifestOf(blob)
    const manifestPath = `/v2/${repository}/manifests/latest`
    const headers = { 'content-type': manifestType, 'content-length': manifest.length }
    await expectStatus(await answerTo(open({ method: 'PUT', path: manifestPath, headers }).end(manifest)), 201)
    const manifestSha256 = createHash('sha256').update(manifest).digest('hex')
    return { registry, dataIn, repository, blob, slowBlob, manifestPath, manifestSha256 }
  } catch (error) {
    await registry.stop()
    throw error
  }
}

function blobOf(bytes: number): Blob {
  return { bytes, digest: bodyDigest(bytes) }
}

/** The blobs twice, stored and on its way in, and some room. */
function fitsInMemory(bytes: number): boolean {
  if (!existsSync('/dev/shm')) return false
  const { bavail, bsize } = statfsSync('/dev/shm')
  return bavail * bsize > 2.2 * bytes
}

/** The registry only looks whether the blobs exist, so the one blob is configuration and layer. */
function manifestOf({ digest, bytes: size }: Blob): Buffer {
  const blob = (mediaType: string) => ({ mediaType, digest, size })
  const manifest = {
    schemaVersion: 2,
    mediaType: manifestType,
    config: blob('application/vnd.oci.image.config.v1+json'),
    layers: [blob('application/vnd.oci.image.layer.v1.tar')],
  }
  return Buffer.from(JSON.stringify(manifest))
}
