import { execFileSync } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { catalogue } from '../../../tools/parts/catalogue.ts'
import { complaintOf, findExecutables, findVersion } from '../../../tools/parts/command.ts'
import { launcherScript } from '../../../tools/parts/debian.ts'
import { parseParts, readParts, writeParts } from '../../../tools/parts/parts-file.ts'
import { provideParts } from '../../../tools/parts/provide.ts'

let directory: string

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'wharfgate-parts-'))
})
afterEach(() => {
  rmSync(directory, { recursive: true, force: true })
})

function writeProgram(path: string, script: string): void {
  mkdirSync(join(path, '..'), { recursive: true })
  writeFileSync(path, `#!/bin/sh\n${script}\n`)
  chmodSync(path, 0o755)
}

describe('findVersion', () => {
  test.each([
    ['docker-registry github.com/docker/distribution 2.8.2+ds1', '2.8.2+ds1'],
    ['registry github.com/distribution/distribution/v3 v3.0.0', '3.0.0'],
    ['Docker version 28.2.2, build e6534b4', '28.2.2'],
    ['buildah version 1.28.2 (image-spec 1.0.2-dev, runtime-spec 1.0.2-dev)', '1.28.2'],
    ['OpenSSL 3.0.19 27 Jan 2026 (Library: OpenSSL 3.0.19 27 Jan 2026)', '3.0.19'],
    ['Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64', '7.0.15'],
    ['probe:{SHA}kTBWrdsPZkbBpUbVb6p/Y3cqYPQ=', undefined],
  ])('reads %j', (output, version) => {
    expect(findVersion(output)).toBe(version)
  })
})

describe('complaintOf', () => {
  test.each([
    ['Reading lists\nE: Unable to locate package docker-cli\n', 'E: Unable to locate package docker-cli'],
    ['one\ntwo\n\n', 'two'],
    ['', 'it said nothing'],
  ])('takes the telling line of %j', (output, line) => {
    expect(complaintOf(output)).toBe(line)
  })
})

describe('findExecutables', () => {
  test('lists executable files in the order of the PATH, and neither folders nor other files', () => {
    const [first, second, third] = [join(directory, 'a'), join(directory, 'b'), join(directory, 'c')]
    writeProgram(join(first, 'wharfgate-probe'), 'exit 0')
    writeProgram(join(second, 'wharfgate-probe'), 'exit 0')
    chmodSync(join(first, 'wharfgate-probe'), 0o644)
    mkdirSync(join(third, 'wharfgate-probe'), { recursive: true })
    expect(findExecutables('wharfgate-probe', [first, third, second].join(':'))).toEqual([
      join(second, 'wharfgate-probe'),
    ])
  })
})

describe('launcherScript', () => {
  test('becomes the program of its own tree, with its libraries and arguments, wherever the tree is', () => {
    writeProgram(join(directory, 'usr/bin/probe'), 'echo "$LD_LIBRARY_PATH" "$@"; command -v sibling')
    writeProgram(join(directory, 'usr/sbin/sibling'), 'exit 0')
    const launcher = join(directory, 'run', 'probe')
    mkdirSync(join(directory, 'run'))
    writeFileSync(launcher, launcherScript('usr/bin/probe', ['usr/lib/x86_64-linux-gnu']))
    chmodSync(launcher, 0o755)
    const env = { PATH: process.env['PATH'] }
    const output = execFileSync(launcher, ['a b', 'c'], { encoding: 'utf8', cwd: '/', env })
    expect(output).toBe(`${directory}/usr/lib/x86_64-linux-gnu: a b c\n${directory}/usr/sbin/sibling\n`)
  })
})

describe('parts.json', () => {
  test('keeps what an earlier run found of other parts', () => {
    writeParts(directory, { podman: { path: '/usr/bin/podman', version: '4.3.1' }, crane: { missing: 'no go' } })
    writeParts(directory, { crane: { path: '/crane', version: '0.22.1' } })
    expect(readParts(directory)).toEqual({
      podman: { path: '/usr/bin/podman', version: '4.3.1' },
      crane: { path: '/crane', version: '0.22.1' },
    })
  })

  test.each([[null], ['text'], [{ podman: { path: 1, version: '1' } }], [{ podman: null }]])(
    'takes nothing from %j',
    (value) => {
      expect(parseParts(value)).toEqual({})
    },
  )

  test('is empty when it was never written', () => {
    expect(readParts(join(directory, 'none'))).toEqual({})
  })
})

describe('provideParts', () => {
  const description = (expected: RegExp) => ({
    name: 'probe',
    commands: ['wharfgate-probe'],
    probe: ['--version'],
    expected,
    source: { kind: 'debian', group: 'probe', packages: [['wharfgate-probe']] } as const,
    needs: [],
  })
  const provide = (expected: RegExp) =>
    provideParts([description(expected)], { stateDirectory: directory, path: directory, report: () => undefined })

  test('takes a part from the PATH', async () => {
    writeProgram(join(directory, 'wharfgate-probe'), 'echo "probe 1.2.3"')
    expect(await provide(/probe/)).toEqual({ probe: { path: join(directory, 'wharfgate-probe'), version: '1.2.3' } })
  })

  test('takes a part that an earlier run unpacked', async () => {
    const path = join(directory, 'parts', 'probe', 'run', 'wharfgate-probe')
    writeProgram(path, 'echo "probe 1.2.3"')
    expect(await provide(/probe/)).toEqual({ probe: { path, version: '1.2.3' } })
  })

  test('tells why a part is missing, and passes by a program that only has the same name', async () => {
    writeProgram(join(directory, 'wharfgate-probe'), 'echo "something else 1.2.3"')
    expect(await provide(/probe/)).toEqual({
      probe: { missing: 'it is not installed and there is no apt-get, no dpkg-deb to fetch it with' },
    })
  })

  test('fetches with the tools it finds, and tells what they complain about', async () => {
    writeProgram(
      join(directory, 'apt-get'),
      'case "$*" in *install*) echo "E: Unable to locate package"; exit 100;; esac',
    )
    symlinkSync(join(directory, 'apt-get'), join(directory, 'dpkg-deb'))
    expect(await provide(/probe/)).toEqual({
      probe: { missing: 'wharfgate-probe cannot be fetched: E: Unable to locate package' },
    })
  })
})

test('every part of the catalogue has a name of its own', () => {
  const names = catalogue.map((part) => part.name)
  expect(new Set(names).size).toBe(names.length)
})
