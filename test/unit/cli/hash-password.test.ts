import { PassThrough, Readable } from 'node:stream'
import { compare } from '@node-rs/bcrypt'
import { describe, expect, test } from '@jest/globals'
import { inspectHtpasswd } from '../../../src/authentication/htpasswd.ts'
import { hashPasswordCommand } from '../../../src/cli/hash-password.ts'

type Run = { readonly stdout: string; readonly stderr: string; readonly exitCode: unknown }

async function run(stdin: NodeJS.ReadableStream & { isTTY?: boolean }, args: readonly string[]): Promise<Run> {
  const written = { stdout: '', stderr: '' }
  const console = {
    stdin,
    stdout: { write: (text: string) => (written.stdout += text) },
    stderr: { write: (text: string) => (written.stderr += text) },
    exitCode: undefined as unknown as number | undefined,
  }
  const command = hashPasswordCommand(console).exitOverride()
  command.configureOutput({ writeErr: (text) => (written.stderr += text) })
  try {
    await command.parseAsync([...args], { from: 'user' })
  } catch (error) {
    console.exitCode = 1
    if (!(error instanceof Error && 'code' in error)) throw error
  }
  return { ...written, exitCode: console.exitCode }
}

const piped = (...chunks: readonly (string | Uint8Array)[]) => Readable.from(chunks.map((chunk) => Buffer.from(chunk)))

describe('a password from a pipe', () => {
  test.each([
    ['without a line ending', ['secret']],
    ['with a line ending', ['secret\n']],
    ['with CRLF', ['secret\r\n']],
    ['with further lines', ['secret\nsecond\n']],
    ['in pieces', ['sec', 'ret', '\n', 'second']],
  ])('%s becomes a line for the file', async (_title, chunks) => {
    const { stdout, stderr, exitCode } = await run(piped(...chunks), ['--username', 'alice'])
    expect(stdout).toMatch(/^alice:\$2y\$10\$[./A-Za-z0-9]{53}\n$/)
    expect(inspectHtpasswd(stdout)).toEqual([])
    expect(await compare('secret', stdout.slice('alice:'.length).trim())).toBe(true)
    expect([stderr, exitCode]).toEqual(['', undefined])
  })

  test('keeps blanks, and letters that are cut in two by the pieces', async () => {
    const bytes = Buffer.from(' pässwörd ')
    const { stdout } = await run(piped(bytes.subarray(0, 3), bytes.subarray(3)), ['bob'])
    expect(await compare(' pässwörd ', stdout.slice('bob:'.length).trim())).toBe(true)
  })

  test('takes the cost that is asked for', async () => {
    const { stdout } = await run(piped('secret'), ['--cost', '11', 'alice'])
    expect(stdout).toMatch(/^alice:\$2y\$11\$/)
  })

  test('without a name is the hash alone, and says so', async () => {
    const { stdout, stderr } = await run(piped('secret'), [])
    expect(stdout).toMatch(/^\$2y\$10\$/)
    expect(stderr).toContain('user name and a colon')
  })

  test('of 72 bytes is taken', async () => {
    expect((await run(piped(`${'x'.repeat(72)}\r\n`), ['alice'])).exitCode).toBeUndefined()
  })

  test.each([
    ['nothing', '', /empty/],
    ['an empty line', '\nsecret\n', /empty/],
    ['73 bytes', 'x'.repeat(73), /longer than 72 bytes/],
    ['73 bytes in 37 letters', `${'ä'.repeat(36)}x`, /longer than 72 bytes/],
    ['NUL', 'sec\0ret', /NUL/],
    ['bytes that are not UTF-8', Buffer.from([0x61, 0xff]), /UTF-8/],
  ])('of %s is refused in a sentence', async (_title, input, sentence) => {
    const { stdout, stderr, exitCode } = await run(piped(input), ['--username', 'alice'])
    expect(stderr).toMatch(sentence)
    expect(stderr.trimEnd().split('\n')).toHaveLength(1)
    expect([stdout, exitCode]).toEqual(['', 1])
  })

  test('is not read on when it is longer than any password', async () => {
    let chunks = 0
    const endless = new Readable({
      read() {
        chunks += 1
        this.push(Buffer.alloc(65_536, 'ä'))
      },
    })
    expect((await run(endless, ['alice'])).stderr).toMatch(/longer than 72 bytes/)
    expect(chunks).toBeLessThan(10)
  })
})

test.each([
  ['a cost below 10', ['--cost', '9', 'alice']],
  ['a cost above 14', ['--cost', '15', 'alice']],
  ['a cost that is no number', ['--cost', '0xa', 'alice']],
  ['a name with a colon', ['a:b']],
  ['a name that would be a comment', ['--username', '#alice']],
  ['an empty name', ['--username', '']],
])('%s is refused before anything is read', async (_title, args) => {
  const stdin = piped('secret')
  const { stdout, exitCode } = await run(stdin, args)
  expect([stdout, exitCode]).toEqual(['', 1])
  expect(stdin.readableDidRead).toBe(false)
})

describe('a terminal', () => {
  const type = async (...lines: readonly string[]): Promise<Run> => {
    const keys = Object.assign(new PassThrough(), { isTTY: true })
    const rest = [...lines]
    // Readline listens for keys from the moment a question stands.
    keys.on('resume', () => setImmediate(() => keys.write(rest.shift() ?? '\u0004')))
    return run(keys, ['alice'])
  }

  test('is asked twice and shows nothing of the password', async () => {
    const { stdout, stderr, exitCode } = await type('secreX\u007ft\r', 'secret\r')
    expect(await compare('secret', stdout.slice('alice:'.length).trim())).toBe(true)
    expect([stderr, exitCode]).toEqual(['Password: \nAgain: \n', undefined])
  })

  test('has to say the same twice', async () => {
    const { stdout, stderr, exitCode } = await type('secret\r', 'Secret\r')
    expect(stderr).toContain('not the same')
    expect([stdout, exitCode]).toEqual(['', 1])
  })

  test.each([
    ['Ctrl-C', 'sec\u0003'],
    ['Ctrl-D', '\u0004'],
  ])('can be left with %s', async (_title, keys) => {
    const { stdout, stderr, exitCode } = await type(keys)
    expect(stderr).toContain('no password was given')
    expect([stdout, exitCode]).toEqual(['', 1])
  })
})
