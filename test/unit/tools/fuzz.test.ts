import { join } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import { fuzz } from '../../../tools/fuzz/session.ts'
import { targets } from '../../../tools/fuzz/targets.ts'
import { run } from '../../support/processes.ts'

const tool = join(import.meta.dirname, '..', '..', '..', 'tools', 'fuzz.ts')
const planted = new URL('../../support/planted-fuzz-targets.ts', import.meta.url).href

/** What takes so long that it never ends; no input that ends takes as long, on a machine that is busy besides. */
const hangMs = 5_000

async function fuzzPlanted(...names: readonly string[]) {
  const lines: string[] = []
  const print = (line: string): void => {
    lines.push(line)
  }
  const held = await fuzz({
    module: planted,
    names,
    seconds: names.length,
    seed: 1,
    hangMs: names.includes('hangs') ? hangMs : 60_000,
    print,
  })
  return { held, text: lines.join('\n') }
}

describe('the fuzzer', () => {
  test('tells how much it has tried where everything held', async () => {
    const { held, text } = await fuzzPlanted('holds')
    expect({ held, text }).toEqual({ held: true, text: expect.stringMatching(/^held {3}holds +\d{3,} runs/) })
  })

  test.each([
    ['throws', /^FAILED throws: Error: an a was given[^]*--only throws --input '"a"'$/],
    ['slow', /^FAILED slow: Error: took \d+ ms, and 100 ms are allowed[^]*--only slow --input '"...+"'$/],
    ['hangs', /^FAILED hangs: takes longer than 5000 ms, or for ever[^]*--only hangs --input '".*b.*"'$/],
    ['never settles', /^FAILED never settles: never settles[^]*--input '".*c.*"'$/],
  ])('finds a subject that %s, and prints the input', async (name, expected) => {
    const { held, text } = await fuzzPlanted(name)
    expect({ held, text }).toEqual({ held: false, text: expect.stringMatching(expected) })
  })

  test('goes on with the next one after a failure, and remembers it', async () => {
    const { held, text } = await fuzzPlanted('throws', 'holds')
    expect({ held, text }).toEqual({ held: false, text: expect.stringMatching(/^FAILED throws[^]*\nheld {3}holds/) })
  })
})

describe('npm run fuzz', () => {
  test('finds nothing within a few seconds', async () => {
    const { code, stdout, stderr } = await run(process.execPath, [tool, '--seconds', '7', '--seed', '20261121'])
    expect({ code, stderr, stdout }).toEqual({ code: 0, stderr: '', stdout: expect.any(String) })
    const runs = new Map(
      [...stdout.matchAll(/^held {3}(\S+) +(\d+) runs/gm)].map(([, name = '', count]) => [name, Number(count)]),
    )
    expect([...runs.keys()]).toEqual(targets.map(({ name }) => name))
    expect(Math.min(...runs.values())).toBeGreaterThan(10)
  })

  test('tries again the input of a failure', async () => {
    const input = JSON.stringify({ method: 'GET', target: '/v2/a/tags/list' })
    const { code, stdout } = await run(process.execPath, [tool, '--only', 'request-target', '--input', input])
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'the input holds\n' })
  })

  test.each([
    [['--only', 'nothing'], 'unknown target nothing; known are request-target'],
    [['--seed', 'x'], '--seed is a whole number, not x'],
  ])('refuses %j', async (words, sentence) => {
    const { code, stderr } = await run(process.execPath, [tool, ...words])
    expect({ code, stderr }).toEqual({ code: 1, stderr: expect.stringContaining(sentence) })
  })
})
