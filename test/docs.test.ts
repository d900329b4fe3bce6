import { existsSync, globSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import { printProblem, readConfig } from '../src/config/load.ts'

const root = join(import.meta.dirname, '..')
const read = (file: string): string => readFileSync(join(root, file), 'utf8')
const pages = globSync('{*.md,docs/**/*.md,bench/*.md,policies/*.md,certs/*.md}', { cwd: root }).sort()

/** Text without code, where brackets mean other things. */
const prose = (text: string): string => text.replace(/^```[\s\S]*?^```/gm, '').replace(/`[^`\n]*`/g, '')

/** Anchors of a page's headings, as the usual renderers make them. */
function anchorsOf(text: string): readonly string[] {
  const headings = text.replace(/^```[\s\S]*?^```/gm, '').matchAll(/^#+ (.+)$/gm)
  return [...headings].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  )
}

describe('the documentation', () => {
  test('links to what exists, from every page', () => {
    const links = pages.flatMap((page) =>
      [...prose(read(page)).matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = '']) => ({ page, target })),
    )
    expect(links.length).toBeGreaterThan(50)
    const broken = links.filter(({ page, target }) => {
      if (/^[a-z]+:/.test(target)) return false
      const [path = '', anchor] = target.split('#')
      const file = path === '' ? page : join(dirname(page), path)
      if (!existsSync(join(root, file))) return true
      return anchor !== undefined && !anchorsOf(read(file)).includes(anchor)
    })
    expect(broken).toStrictEqual([])
  })

  test.each(['how-to', 'explanation', 'reference', 'runbooks'])('names every page of %s in its index', (folder) => {
    const [index, prefix] = folder === 'runbooks' ? ['docs/runbooks/README.md', ''] : ['docs/README.md', `${folder}/`]
    const files = globSync(`docs/${folder}/*.md`, { cwd: root }).map((file) => file.slice(`docs/${folder}/`.length))
    expect(files.length).toBeGreaterThan(0)
    const missing = files.filter((file) => file !== 'README.md' && !read(index).includes(`](${prefix}${file})`))
    expect(missing).toStrictEqual([])
  })
})

describe('the threat model', () => {
  const page = read('docs/explanation/threat-model.md')
  const promises = [...page.matchAll(/`(test\/[^`]+\.test\.ts)`(?:: ((?:`[^`]+`(?:, )?)+))?/g)]
  const named = promises.flatMap(([, file = '', titles = '']) =>
    [...titles.matchAll(/`([^`]+)`/g)].map(([, title = '']) => ({ file, title })),
  )

  test('names tests', () => {
    expect(named.length).toBeGreaterThan(50)
  })

  test('names only test files that exist', () => {
    expect(promises.map(([, file = '']) => file).filter((file) => !existsSync(join(root, file)))).toStrictEqual([])
  })

  test('names only tests that exist', () => {
    const missing = named.filter(({ file, title }) => {
      const text = existsSync(join(root, file)) ? read(file) : ''
      // A title begins with it, or it stands behind the place of the row's own words.
      return !["'", '`', '%s ', '%s: '].some((before) => text.includes(`${before}${title}`))
    })
    expect(missing).toStrictEqual([])
  })
})

describe('the runbooks', () => {
  const sources = globSync('src/**/*.ts', { cwd: root }).map(read).join('\n')
  const told = [
    ...sources.matchAll(/\blog\.(warn|error)\(\s*'([^']+)'/g),
    ...sources.matchAll(/level: '(warn|error)', message: '([^']+)'/g),
  ].map(([, level = '', message = '']) => `${level}: ${message}`)
  const written = globSync('docs/runbooks/!(README).md', { cwd: root }).map((file) => {
    const [, message = '', level = ''] = /^# (.+)\n\nLevel: `(\w+)`\./.exec(read(file)) ?? []
    return `${level}: ${message}`
  })

  test('the messages of the sources are literals, so that they can be found', () => {
    expect([...sources.matchAll(/\blog\.(?:warn|error)\(/g)]).toHaveLength(
      [...sources.matchAll(/\blog\.(?:warn|error)\(\s*'[^']+'/g)].length,
    )
    expect(told.length).toBeGreaterThan(10)
  })

  test('every warning and error that the log can tell has a page, and no page is of another', () => {
    expect(written.sort()).toStrictEqual([...new Set(told)].sort())
  })
})

test('every configuration that a page shows whole is one that the gateway takes', async () => {
  const shown = pages.flatMap((page) =>
    [...read(page).matchAll(/^```yaml\n([\s\S]*?)^```/gm)]
      .map(([, text = '']) => ({ page, text }))
      .filter(({ text }) => /^publicUrls?:/m.test(text) && /^upstream:/m.test(text)),
  )
  const whole = ['README.md', 'docs/how-to/ldap.md', 'docs/how-to/active-directory.md']
  expect(shown.map(({ page }) => page)).toEqual(expect.arrayContaining(whole))
  for (const { page, text } of shown) {
    // What else is read for a configuration is a secret that stands in a file of its own.
    const readFile = (path: string): Promise<Uint8Array> =>
      Promise.resolve(Buffer.from(path.endsWith(page) ? text : 'hunter2-hunter2\n'))
    const reading = await readConfig({ file: page, environment: {}, readFile })
    expect(reading.kind === 'ok' ? [] : reading.problems.map(printProblem)).toEqual([])
  }
})
