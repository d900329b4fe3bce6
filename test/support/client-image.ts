import { createHash } from 'node:crypto'
import { closeSync, openSync, writeSync } from 'node:fs'

/** A file of an image; each becomes a layer of its own. */
export type ImageFile = { readonly name: string; readonly content: string | Buffer }

/**
 * Writes an image as the archive that `docker save` makes, FROM scratch with one layer per file, under the given
 * reference. Every client that loads archives loads this one. The same files give the same bytes.
 */
export function writeImageArchive(archive: string, reference: string, files: readonly ImageFile[]): void {
  const layers = files.map(({ name, content }) => tar([{ name, content: Buffer.from(content) }]))
  const digests = layers.map((layer) => createHash('sha256').update(layer).digest('hex'))
  const configuration = Buffer.from(
    JSON.stringify({
      architecture: process.arch === 'x64' ? 'amd64' : process.arch,
      os: 'linux',
      created: '2026-01-01T00:00:00Z',
      config: { Cmd: ['/none'] },
      rootfs: { type: 'layers', diff_ids: digests.map((digest) => `sha256:${digest}`) },
      history: files.map(({ name }) => ({ created: '2026-01-01T00:00:00Z', created_by: `COPY ${name}` })),
    }),
  )
  const configurationName = `${createHash('sha256').update(configuration).digest('hex')}.json`
  const layerNames = digests.map((digest) => `${digest}/layer.tar`)
  const manifest = [{ Config: configurationName, RepoTags: [reference], Layers: layerNames }]
  const entries = [
    { name: configurationName, content: configuration },
    ...layers.map((content, index) => ({ name: layerNames[index] ?? '', content })),
    { name: 'manifest.json', content: Buffer.from(JSON.stringify(manifest)) },
  ]
  const file = openSync(archive, 'w')
  try {
    for (const piece of tarPieces(entries)) writeSync(file, piece)
  } finally {
    closeSync(file)
  }
}

type TarEntry = { readonly name: string; readonly content: Buffer }

const blockBytes = 512

function tar(entries: readonly TarEntry[]): Buffer {
  return Buffer.concat([...tarPieces(entries)])
}

function* tarPieces(entries: readonly TarEntry[]): Generator<Buffer> {
  for (const { name, content } of entries) {
    yield tarHeader(name, content.length)
    yield content
    yield Buffer.alloc((blockBytes - (content.length % blockBytes)) % blockBytes)
  }
  yield Buffer.alloc(2 * blockBytes)
}

/** A POSIX.1-1988 (ustar) header of a plain file, readable by all, of 1970. */
function tarHeader(name: string, sizeBytes: number): Buffer {
  const header = Buffer.alloc(blockBytes)
  const octal = (value: number, width: number) => value.toString(8).padStart(width - 1, '0')
  header.write(name, 0, 100)
  header.write(octal(0o644, 8), 100)
  header.write(octal(0, 8), 108)
  header.write(octal(0, 8), 116)
  header.write(octal(sizeBytes, 12), 124)
  header.write(octal(0, 12), 136)
  header.write(' '.repeat(8), 148)
  header.write('0', 156)
  header.write('ustar\x0000', 257, 'latin1')
  const checksum = header.reduce((sum, byte) => sum + byte, 0)
  header.write(`${octal(checksum, 7)}\0 `, 148)
  return header
}
