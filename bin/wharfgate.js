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
// A gateway's garbage is young and its uploads come as many small buffers: with a small young generation they are freed
// while they are warm, instead of by marking the whole heap every 20 MB (docs/decisions/0022-young-generation.md). The
// size counts only from the start of a process, so this one begins again, under the same id; a size of the operator's
// own is kept.
const generation = ['--max-semi-space-size=2', '--min-semi-space-size=2', '--heap-growing-percent=400']
const given = [...process.execArgv, process.env.NODE_OPTIONS ?? ''].join(' ')
if (process.argv[2] === 'serve' && process.execve !== undefined && !given.includes('semi-space-size')) {
  process.execve(process.execPath, [process.execPath, ...process.execArgv, ...generation, ...process.argv.slice(1)])
}
// Password hashes run on libuv's pool, which file reads and DNS need too; it reads its size when it is first used.
process.env.UV_THREADPOOL_SIZE ??= String(Math.max(4, availableParallelism() + 2))
const compiled = new URL('../dist/cli/main.js', import.meta.url)
const source = new URL('../src/cli/main.ts', import.meta.url)
const { main } = await import(existsSync(source) ? source.href : compiled.href)
await main(process.argv)
