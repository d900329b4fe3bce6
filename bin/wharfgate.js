#!/usr/bin/env node
/** The installed command. Plain JavaScript on purpose: an older Node must get this far to be told what it lacks. */
import { existsSync } from 'node:fs'
import { availableParallelism } from 'node:os'

const minimum = [24, 9]
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
if (major < minimum[0] || (major === minimum[0] && minor < minimum[1])) {
  process.stderr.write(
    `wharfgate: Node ${minimum.join('.')} or newer is needed, this is ${process.versions.node}; ` +
      'install Node 24, or run it from the source tree with: npm run wharfgate -- COMMAND\n',
  )
  process.exit(1)
}
// Password hashes run on libuv's pool, which file reads and DNS need too; it reads its size when it is first used.
process.env.UV_THREADPOOL_SIZE ??= String(Math.max(4, availableParallelism() + 2))
const compiled = new URL('../dist/cli/main.js', import.meta.url)
const source = new URL('../src/cli/main.ts', import.meta.url)
const { main } = await import(existsSync(source) ? source.href : compiled.href)
await main(process.argv)
