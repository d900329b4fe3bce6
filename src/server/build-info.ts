import { readFile } from 'node:fs/promises'
import type { BuildInfo } from '../telemetry/metrics.ts'

/** Version of the package this runs from; the revision is what the build put into the environment of the image. */
export async function buildInfo(): Promise<BuildInfo> {
  const text = await readFile(new URL('../../package.json', import.meta.url), 'utf8')
  const { version = 'unknown' } = JSON.parse(text) as { readonly version?: string }
  return { version, revision: process.env['WHARFGATE_REVISION'] ?? 'unknown', nodejsVersion: process.versions.node }
}
