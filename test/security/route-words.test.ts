import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { RegistryError } from '../../src/registry/error.ts'
import { parseRegistryRequest, printTarget } from '../../src/registry/route.ts'
import type { RegistryRequest } from '../../src/registry/route.ts'
import { processorMsOf } from '../support/processor-time.ts'
import { describeWith } from '../support/real-parts.ts'
import { startRealRegistry } from '../support/real-registry.ts'
import type { RealRegistry } from '../support/real-registry.ts'
import { until } from '../support/until.ts'
import { digest } from './attack.ts'

function parsed(target: string): RegistryRequest | undefined {
  try {
    return parseRegistryRequest('GET', target)
  } catch (error) {
    if (error instanceof RegistryError) return undefined
    throw error
  }
}

const words = [
  'a',
  'b',
  'blobs',
  'uploads',
  'manifests',
  'tags',
  'list',
  'referrers',
  'latest',
  'sha256',
  digest,
] as const

/** Paths of route words in every order; the same ones in each run (a linear congruential generator). */
function* paths(count: number): Generator<string> {
  let state = 20_261_121
  const next = (below: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
  const endings = [
    'manifests/latest',
    `manifests/${digest}`,
    `blobs/${digest}`,
    'tags/list',
    'blobs/uploads/session',
    'list',
    '',
  ]
  for (let index = 0; index < count; index += 1) {
    const segments = Array.from({ length: 1 + next(6) }, () => words[next(words.length)] ?? 'a')
    const ending = endings[next(endings.length)] ?? ''
    yield `/v2/${segments.join('/')}${ending === '' ? '' : `/${ending}`}`
  }
}

describeWith(['docker-registry'], 'A-16 route words inside names', () => {
  let registry: RealRegistry
  beforeAll(async () => {
    registry = await startRealRegistry()
  })
  afterAll(() => registry.stop())

  test('1,000 paths mean to the registry the repository that is authorized', async () => {
    const targets = [...new Set(paths(1_000))].flatMap((target) => {
      const request = parsed(target)
      return request !== undefined && 'repository' in request
        ? [{ target, repository: String(request.repository) }]
        : []
    })
    expect(targets.length).toBeGreaterThan(300)
    for (const { target } of targets) {
      const response = await fetch(registry.url + target, { redirect: 'manual' })
      await response.arrayBuffer()
    }
    await until(() => registry.requests().length >= targets.length, { what: 'the access log is written' })
    const meant = new Map(
      [...registry.log().matchAll(/ http\.request\.uri="?([^"\s]+)"? .*? vars\.name="?([^"\s]+)/g)].map(
        ([, uri = '', name = '']) => [uri, name],
      ),
    )
    const told = targets.filter(({ target }) => meant.has(target))
    expect(told.length).toBeGreaterThan(targets.length * 0.9)
    expect(told.filter(({ target, repository }) => meant.get(target) !== repository)).toEqual([])
  })
})

describe('A-16 the last route word decides', () => {
  test.each([
    ['/v2/secret/app/blobs/uploads/manifests/latest', 'secret/app/blobs/uploads'],
    ['/v2/a/manifests/b/manifests/c', 'a/manifests/b'],
    ['/v2/a/tags/list/tags/list', 'a/tags/list'],
    [`/v2/a/referrers/b/blobs/${digest}`, 'a/referrers/b'],
    ['/v2/a/blobs/uploads/blobs/uploads/x', 'a/blobs/uploads'],
  ])('%s is of %s', (target, repository) => {
    expect(parsed(target)).toMatchObject({ repository })
  })
})

describe('A-25 a pathological target of 8 KiB costs next to nothing', () => {
  const fill = (unit: string, end = ''): string =>
    `/v2/${unit.repeat(Math.floor((8_180 - end.length) / unit.length))}${end}`
  const targets = [
    ['a/', fill('a/', 'tags/list')],
    ['a/, no route', fill('a/')],
    ['a- runs', fill('a-', 'a/tags/list')],
    ['- runs', fill('-', 'a/tags/list')],
    ['a.a.', fill('a.', 'a/tags/list')],
    ['a__', fill('a__', '/tags/list')],
    ['a_-', fill('a_-', '/tags/list')],
    ['letters', fill('a', '!/tags/list')],
    ['slashes', fill('/')],
    ['dots', fill('../')],
    ['escapes', fill('%61', '/tags/list')],
    ['encoded slashes', fill('%2f', '/tags/list')],
    ['bad escapes', fill('%', '/tags/list')],
    ['cut UTF-8', fill('%f0%9f', '/tags/list')],
    ['route words', fill('blobs/uploads/', 'x')],
    ['manifests', fill('manifests/', 'x')],
    ['a tag', `/v2/a/manifests/${'a'.repeat(8_000)}`],
    ['a digest', `/v2/a/blobs/${'a+'.repeat(4_000)}:x`],
    ['a digest without end', `/v2/a/blobs/${'a.a-'.repeat(2_000)}!`],
    ['a session', `/v2/a/blobs/uploads/${'a'.repeat(8_000)}`],
    ['a query of &', `/v2/a/tags/list?${'&'.repeat(8_000)}`],
    ['a query of =', `/v2/a/tags/list?${'='.repeat(8_000)}`],
    ['a query of names', `/v2/a/tags/list?${'a=&'.repeat(2_600)}`],
    ['a query of +', `/v2/a/tags/list?last=${'+'.repeat(8_000)}`],
    ['an upload query of digests', `/v2/a/blobs/uploads/x?${'digest;'.repeat(1_100)}`],
  ] as const

  test.each(targets)('%s', (_what, target) => {
    expect(target.length).toBeLessThanOrEqual(8_192)
    const costMs = processorMsOf(() => {
      const request = parsed(target)
      if (request !== undefined) printTarget(request)
    })
    // Linear reading costs well below one; what is tried again from each of 8,192 places costs hundreds.
    expect(costMs).toBeLessThan(50)
  })
})
