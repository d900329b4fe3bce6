import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { hashSync } from '@node-rs/bcrypt'
import { afterAll, describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { inspectHtpasswd, parseHtpasswd, readHtpasswd, usernameFault } from '../../../src/authentication/htpasswd.ts'
import { costOfFourfold, linearlyMore } from '../../support/processor-time.ts'

/** Written by Apache's `htpasswd` of Debian 12 for the password `secret`; `-B` alone writes cost 5. */
const apache = {
  bcrypt: '$2y$05$l4T8CB5R1ydpFW8JSvry5OIaMn5QgGcmQoMx0L.fODcTEY/P5dt/q',
  bcryptCost10: '$2y$10$WblJWvMQunWhdG1AC4TWmOBN5h3hJHKYYVHyXE6V1EurBDdJx9Dxe',
  md5: '$apr1$EjjVG5ux$6UdekCwE44LDBeaxpWCBe.',
  sha1: '{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=',
  des: 'pa/0q2OLhdiYA',
  sha256: '$5$NDl9lQx5ZyLDtR6l$HMcwk2B1sdxXKuKGep0xFIjf7iMEEmVQyN3oW4H7RWB',
}
const good = apache.bcryptCost10
const cost = (text: string): string => `${good.slice(0, 4)}${text}${good.slice(6)}`

const users = (text: string): readonly string[] => [...parseHtpasswd(text).hashes.keys()]

describe('a file of users', () => {
  test.each([
    ['lines of all three versions', `a:${good.replace('$2y', '$2a')}\nb:${good.replace('$2y', '$2b')}\nc:${good}\n`],
    ['no line break at the end', `a:${good}\nb:${good}\nc:${good}`],
    ['CRLF', `a:${good}\r\nb:${good}\r\nc:${good}\r\n`],
    ['a byte order mark', `\ufeffa:${good}\nb:${good}\nc:${good}\n`],
    ['comments and empty lines', `# users\n\na:${good}\n  \t \n  # x:y\nb:${good}\nc:${good}\n\n`],
    ['blanks and tabs around the lines', `\ta:${good}\n  b:${good} \t\nc:${good}\t\n`],
  ])('may have %s', (_title, text) => {
    expect(users(text)).toEqual(['a', 'b', 'c'])
    expect(inspectHtpasswd(text)).toEqual([])
  })

  test('keeps names exactly as they are written', () => {
    const names = ['Alice', 'alice', 'älice', 'a b', 'alice@example.org', '__proto__', 'constructor']
    expect(users(names.map((name) => `${name}:${good}\n`).join(''))).toEqual(names)
  })

  test.each([
    ['many lines', (size: number) => Array.from({ length: size }, (_, index) => `user${index}:${good}\n`).join('')],
    ['one long blank', (size: number) => `a:${' '.repeat(10 * size)}x\n`],
  ])('is linear to read where it is %s', (_what, textOf) => {
    const cost = costOfFourfold(5_000, (size) => {
      const text = textOf(size)
      return () => void parseHtpasswd(text)
    })
    expect(cost).toBeLessThan(linearlyMore)
  })

  test('tells the highest cost of the users who can log in', () => {
    const text = `a:${cost('04')}\nb:${cost('12')}\nc:${cost('14')}\nc:${good}\nd:${cost('31')}\n`
    expect(parseHtpasswd(text).maxCost).toBe(12)
  })
})

describe('a line that cannot be used disables only its user', () => {
  test.each([
    ['SHA-1', apache.sha1, /SHA-1/],
    ['MD5 of Apache', apache.md5, /MD5/],
    ['SHA-256 crypt', apache.sha256, /SHA-256/],
    ['DES crypt', apache.des, /not a bcrypt hash/],
    ['plain text', 'open sesame', /not a bcrypt hash/],
    ['nothing', '', /missing/],
    ['$2x$', good.replace('$2y', '$2x'), /faulty version/],
    ['cost 3', cost('03'), /cost is 03.*4 to 14/],
    ['cost 15', cost('15'), /cost is 15/],
    ['cost 31', cost('31'), /cost is 31/],
    ['a hash cut short', good.slice(0, -1), /damaged/],
    ['a hash and more', `${good}x`, /damaged/],
    ['a hash and a field', `${good}:x`, /damaged/],
    ['a hash and NUL', `${good}\0x`, /damaged/],
    ['a sign that is no hash', `${good.slice(0, 20)}!${good.slice(21)}`, /damaged/],
    ['a salt that bcrypt never writes', `${good.slice(0, 28)}a${good.slice(29)}`, /damaged/],
    ['a last sign that bcrypt never writes', `${good.slice(0, 59)}f`, /damaged/],
  ])('%s', (_title, hash, sentence) => {
    const table = parseHtpasswd(`alice:${good}\nbob:${hash}\nci:${good}\n`)
    expect([...table.hashes.keys()]).toEqual(['alice', 'ci'])
    expect(table.faults).toEqual([
      { line: 2, severity: 'error', username: 'bob', sentence: expect.stringMatching(sentence) },
    ])
    expect(table.faults[0]?.sentence).toContain('wharfgate hash-password --username bob')
    if (hash !== '') expect(table.faults[0]?.sentence).not.toContain(hash)
  })

  test.each([
    ['no colon', good],
    ['an empty name', `:${good}`],
    ['a blank at the end of the name', `bob :${good}`],
    ['a tab in the name', `bo\tb:${good}`],
    ['NUL in the name', `bo\0b:${good}`],
    ['a name that is not UTF-8', `bo\ufffdb:${good}`],
    ['a name of 256 bytes', `${'ä'.repeat(128)}:${good}`],
  ])('%s', (_title, content) => {
    const table = parseHtpasswd(`alice:${good}\n${content}\nci:${good}\n`)
    expect([...table.hashes.keys()]).toEqual(['alice', 'ci'])
    expect(table.faults).toMatchObject([{ line: 2, severity: 'error' }])
    expect(table.faults[0]?.sentence).not.toContain(good)
  })

  test('a name that stands twice or more', () => {
    const text = `bob:${good}\nalice:${good}\nbob:${good}\nbob:${apache.sha1}\n`
    const table = parseHtpasswd(text)
    expect([...table.hashes.keys()]).toEqual(['alice'])
    expect(table.faults.map(({ line, username }) => [line, username])).toEqual([
      [3, 'bob'],
      [4, 'bob'],
    ])
    expect(table.faults[0]?.sentence).toContain('line 1')
  })

  test('a name whose first line cannot be used and whose second could', () => {
    expect(users(`bob:${apache.sha1}\nalice:${good}\nbob:${good}\n`)).toEqual(['alice'])
  })
})

test('a line of Debian’s htpasswd -B can be used, with a warning about its cost', () => {
  const table = parseHtpasswd(`alice:${apache.bcrypt}\n`)
  expect(table.hashes.get('alice')).toBe(apache.bcrypt)
  expect(table.faults).toMatchObject([{ line: 1, severity: 'warning', username: 'alice' }])
  expect(table.faults[0]?.sentence).toMatch(/cost is 05.*wharfgate hash-password --username alice/)
})

test('a name that a shell would read otherwise is not put into the command', () => {
  const [fault] = inspectHtpasswd(`$(reboot):${apache.sha1}\nalice:${good}\n`)
  expect(fault).toMatchObject({ username: '$(reboot)' })
  expect(fault?.sentence).toMatch(/--username NAME$/)
})

describe('a file from the disk', () => {
  const folder = mkdtempSync(join(tmpdir(), 'wharfgate-htpasswd-'))
  afterAll(() => {
    rmSync(folder, { recursive: true })
  })
  const write = (name: string, content: string | Uint8Array): string => {
    writeFileSync(join(folder, name), content)
    return join(folder, name)
  }

  test('is read with its faults', async () => {
    const table = await readHtpasswd(write('mixed', `alice:${hashSync('x', 4)}\nbob:plain\n`))
    expect([...table.hashes.keys()]).toEqual(['alice'])
    expect(table.faults.map(({ line, severity }) => [line, severity])).toEqual([
      [1, 'warning'],
      [2, 'error'],
    ])
  })

  test.each([
    ['empty', ''],
    ['of comments', '# nobody yet\n'],
    ['without one line that can be used', `bob:${apache.md5}\n`],
  ])('that is %s is refused', async (_title, content) => {
    const file = write('unusable', content)
    await expect(readHtpasswd(file)).rejects.toMatchObject({ name: 'HtpasswdError', code: 'HTPASSWD_UNUSABLE' })
    expect(inspectHtpasswd(content)[0]).toMatchObject({ line: 1, severity: 'error' })
  })

  test('that is not there is refused', async () => {
    await expect(readHtpasswd(join(folder, 'none'))).rejects.toMatchObject({ code: 'HTPASSWD_UNREADABLE' })
  })

  test('does not make one name of two that are not UTF-8', async () => {
    const bytes = Buffer.concat([Buffer.from([0xff]), Buffer.from(`:${good}\nalice:${good}\n`)])
    expect([...(await readHtpasswd(write('latin1', bytes))).hashes.keys()]).toEqual(['alice'])
  })
})

describe('properties', () => {
  const name = fc.constantFrom('alice', 'bob', 'ci', '#x', ' ', '', 'a:b', '\ufeff', '\0')
  const field = fc.constantFrom(...Object.values(apache), 'plain', '', cost('03'), `${good}\0x`)
  const line = fc.oneof(
    fc.tuple(name, field).map((parts) => parts.join(':')),
    fc.string({ unit: 'binary' }),
  )
  const file = fc.array(line).map((lines) => lines.join('\n'))

  test('every user who can log in has one good line, and every fault names a line of the file', () => {
    fc.assert(
      fc.property(file, (text) => {
        const { hashes, faults } = parseHtpasswd(text)
        const lines = text.split('\n').map((content) => content.trim())
        for (const [username, hash] of hashes) {
          expect(usernameFault(username)).toBeUndefined()
          expect(lines.filter((content) => content.startsWith(`${username}:`))).toEqual([`${username}:${hash}`])
        }
        for (const { line } of faults) expect(lines.length).toBeGreaterThanOrEqual(line)
        expect(faults.length).toBeLessThanOrEqual(lines.length + 1)
        expect(JSON.stringify(faults)).not.toContain(good.slice(7))
      }),
    )
  })
})
