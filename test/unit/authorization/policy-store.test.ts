import { describe, expect, test } from '@jest/globals'
import { PolicyError, createPolicyStore, readPolicyFiles } from '../../../src/authorization/policy-store.ts'
import type { PolicyFolder } from '../../../src/authorization/policy-store.ts'

const rule = 'rules: [{ allow: pull, to: user:alice, on: a }]'

/** A folder in memory, whose content can be changed. */
function folderOf(files: Record<string, string>): PolicyFolder {
  const systemError = (code: string): Error => Object.assign(new Error(code), { code })
  return {
    listFolder: (path) => {
      if (Object.hasOwn(files, path)) throw systemError('ENOTDIR')
      const names = Object.keys(files).filter((file) => file.startsWith(`${path}/`))
      if (names.length === 0) throw systemError('ENOENT')
      return names.map((file) => file.slice(path.length + 1))
    },
    readFile: (path) => {
      const text = files[path]
      return text === undefined ? Promise.reject(systemError('ENOENT')) : Promise.resolve(Buffer.from(text))
    },
  }
}

async function problems(promise: Promise<unknown>): Promise<readonly string[]> {
  const error: unknown = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  if (error instanceof PolicyError) return error.problems
  throw new Error('it was not refused')
}

describe('the files of a policy', () => {
  test('are those in .yaml, but neither cases nor hidden ones', async () => {
    const files = {
      'p/b.yaml': rule,
      'p/a.yaml': '',
      'p/a.cases.yaml': 'x',
      'p/README.md': 'x',
      'p/.b.yaml': 'x',
      'p/..data': 'x',
    }
    expect(await readPolicyFiles('p', folderOf(files))).toEqual({
      kind: 'ok',
      files: [
        { file: 'p/a.yaml', text: '' },
        { file: 'p/b.yaml', text: rule },
      ],
    })
  })
  test('may be a single one, whatever its name', async () => {
    expect(await readPolicyFiles('p.txt', folderOf({ 'p.txt': rule }))).toEqual({
      kind: 'ok',
      files: [{ file: 'p.txt', text: rule }],
    })
  })
  test.each<readonly [string, Record<string, string>, unknown]>([
    ['nothing there', {}, 'p:1:1 document: does not exist (ENOENT); name the file or folder of the policies'],
    [
      'no policy in it',
      { 'p/README.md': '', 'p/a.cases.yaml': '' },
      'p:1:1 document: holds no policy: no file in .yaml',
    ],
    [
      'a name that would be passed over',
      { 'p/a.yaml': rule, 'p/b.yml': rule },
      'p/b.yml:1:1 document: is not read, since only names in .yaml are; rename it or move it away',
    ],
    [
      'too many',
      Object.fromEntries(Array.from({ length: 1_001 }, (_, n) => [`p/${String(n)}.yaml`, rule])),
      'p:1:1 document: holds more than 1000 files in .yaml',
    ],
    ['too large', { 'p/a.yaml': '#'.repeat(1_048_577) }, 'p/a.yaml:1:1 document: is larger than 1048576 bytes'],
    [
      'no rule',
      { 'p/a.yaml': 'groups: { a: [b] }' },
      'p/a.yaml:1:1 rules: has no rule in any file of the policy, so nobody could do anything; a policy needs at least one',
    ],
    [
      'a fault',
      { 'p/a.yaml': 'rules: [{ allow: pull, to: user:a, on: "[" }]' },
      expect.stringContaining('p/a.yaml:1:36 rules[0].on: "["'),
    ],
  ])('A-40 %s is refused at the start', async (_name, files, expected) => {
    expect(await problems(createPolicyStore('p', folderOf(files)))).toEqual([expected])
  })
  test('a thousand of them are not too many', async () => {
    const files = Object.fromEntries(Array.from({ length: 1_000 }, (_, n) => [`p/${String(n)}.yaml`, '']))
    expect(await readPolicyFiles('p', folderOf(files))).toMatchObject({ kind: 'ok' })
  })
})

describe('a policy that is replaced', () => {
  test('has the next generation, and the name of its path', async () => {
    const files: Record<string, string> = { '/etc/p/a.yaml': rule }
    const store = await createPolicyStore('/etc/p', folderOf(files))
    const first = store.current()
    expect([first.name, first.generation]).toEqual(['p', 1])
    files['/etc/p/b.yaml'] = rule
    expect(store.watched()).toEqual(['/etc/p/a.yaml', '/etc/p/b.yaml'])
    expect(store.current()).toBe(first)
    await store.replace('/etc/p')
    expect([store.current().generation, store.current().rules.length, first.rules.length]).toEqual([2, 2, 1])
  })
  test('stays what it was when the files say what they said', async () => {
    const store = await createPolicyStore('p', folderOf({ 'p/a.yaml': rule }))
    const first = store.current()
    await store.replace('p')
    expect(store.current()).toBe(first)
  })
  test('is watched with what does not belong in its folder, whose coming is to be told', async () => {
    const files: Record<string, string> = { 'p/a.yaml': rule }
    const store = await createPolicyStore('p', folderOf(files))
    files['p/b.yml'] = rule
    expect(store.watched()).toEqual(['p/a.yaml', 'p/b.yml'])
    expect(await problems(store.replace('p'))).toHaveLength(1)
  })

  test('comes from another path when the configuration says so', async () => {
    const store = await createPolicyStore('p', folderOf({ 'p/a.yaml': rule, 'q/a.yaml': rule }))
    await store.replace('q')
    expect([store.current().name, store.current().generation, store.watched()]).toEqual(['q', 2, ['q/a.yaml']])
  })
  test.each<[string, (files: Record<string, string>) => void]>([
    ['was deleted', (files) => delete files['p/a.yaml']],
    ['was emptied', (files) => (files['p/a.yaml'] = '')],
    ['lost its rules', (files) => (files['p/a.yaml'] = 'rules: []')],
    [
      'has a bad pattern in a deny rule',
      (files) => (files['p/a.yaml'] = 'rules: [{ deny: pull, to: authenticated, on: "[" }]'),
    ],
    ['was cut off in the middle', (files) => (files['p/a.yaml'] = rule.slice(0, 20))],
  ])('A-38 A-40 stays in force when the file %s', async (_name, change) => {
    const files: Record<string, string> = { 'p/a.yaml': rule }
    const store = await createPolicyStore('p', folderOf(files))
    const first = store.current()
    change(files)
    expect(await problems(store.replace('p'))).toHaveLength(1)
    expect(store.current()).toBe(first)
    expect(store.watched()).toEqual(['p/a.yaml'])
    files['p/a.yaml'] = `${rule} # again`
    await store.replace('p')
    expect(store.current().generation).toBe(2)
  })
})

test('a policy that cannot be used is an error that names every fault', async () => {
  const files = { 'p/a.yaml': 'rules: [{ allow: pul, to: alice, on: a }]' }
  const error: unknown = await createPolicyStore('p', folderOf(files)).catch((reason: unknown) => reason)
  if (!(error instanceof PolicyError)) throw new Error('it was not refused')
  expect([error.name, error.code, error.source]).toEqual(['PolicyError', 'POLICY_INVALID', 'gateway'])
  expect(error.faults.map(({ key }) => key)).toEqual(['rules[0].allow', 'rules[0].to'])
  expect(error.problems).toHaveLength(2)
  expect(error.message).toBe(`the policy cannot be used\n${error.problems.join('\n')}`)
})
test('files that say what they said before are not read again into another policy', async () => {
  const files: Record<string, string> = { 'p/a.yaml': rule }
  const store = await createPolicyStore('p', folderOf(files))
  const first = store.current()
  await store.replace('p')
  expect(store.current()).toBe(first)
})

describe('a policy of a single file', () => {
  test('is watched by that file', async () => {
    const store = await createPolicyStore('p.txt', folderOf({ 'p.txt': rule }))
    expect(store.watched()).toEqual(['p.txt'])
  })
  test('that was the only one of its folder is another policy, by the name of the file', async () => {
    const store = await createPolicyStore('p', folderOf({ 'p/a.yaml': rule }))
    await store.replace('p/a.yaml')
    expect([store.current().name, store.current().generation]).toEqual(['a.yaml', 2])
  })
})
