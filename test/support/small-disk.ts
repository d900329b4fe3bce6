import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, test } from '@jest/globals'

/**
 * A `describe` for what happens on a disk that is full: a file system of its own, of so many bytes, in memory. Mounting one
 * takes root's rights; without them the suite is skipped and says so, or fails with `CI=true`.
 *
 * @param body gets a function that tells, while tests run, where the disk is
 */
export function describeOnSmallDisk(bytes: number, title: string, body: (directory: () => string) => void): void {
  const probe = mount(bytes)
  if (probe === undefined) {
    const reason = 'no file system can be mounted here, which takes the rights of root'
    describe(title, () => {
      if (process.env['CI'] !== 'true') test.skip(reason, () => undefined)
      else {
        test('has the disk it needs', () => {
          throw new Error(reason)
        })
      }
    })
    return
  }
  unmount(probe)
  describe(title, () => {
    let directory = ''
    beforeAll(() => {
      directory = mount(bytes) ?? ''
    })
    afterAll(() => {
      unmount(directory)
    })
    body(() => directory)
  })
}

function mount(bytes: number): string | undefined {
  const directory = mkdtempSync(join(tmpdir(), 'wharfgate-disk-'))
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${String(bytes)}`, 'tmpfs', directory], { stdio: 'ignore' })
    return directory
  } catch {
    rmSync(directory, { recursive: true })
    return undefined
  }
}

/** Open files do not keep it. */
function unmount(directory: string): void {
  execFileSync('umount', ['-l', directory])
  rmSync(directory, { recursive: true })
}
