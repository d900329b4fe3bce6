/** What a process costs, as Linux tells in /proc. */
import { readFileSync, readdirSync } from 'node:fs'

/** USER_HZ, the unit of times in /proc, is 100 on every Linux of the platforms that Node runs on. */
const ticksPerSecond = 100

/** User and system time of the processes since they began, in seconds, to a hundredth. */
export function cpuSeconds(pids: readonly number[]): number {
  const ticks = pids.map((pid) => {
    const fields = statFields(pid)
    return Number(fields[11]) + Number(fields[12])
  })
  return sum(ticks) / ticksPerSecond
}

/** What became of the time of a thread, in seconds since it began. */
export type ThreadTimes = { readonly ran: number; readonly waited: number }

/**
 * How long the first thread of a process, which has the event loop, was on a processor, and how long it could have run
 * and had none: what a machine that is busy with other things takes from it.
 */
export function eventLoopThread(pid: number): ThreadTimes {
  const [ran = 0, waited = 0] = readFileSync(`/proc/${pid}/task/${pid}/schedstat`, 'utf8').split(' ').map(Number)
  return { ran: ran / 1e9, waited: waited / 1e9 }
}

/** Sum of the largest resident sizes that the processes ever had, in bytes; what they share counts for each of them. */
export function peakResidentBytes(pids: readonly number[]): number {
  return sum(pids.map((pid) => statusBytes(pid, 'VmHWM')))
}

/** Sum of the resident sizes of the processes at this moment, in bytes; what they share counts for each of them. */
export function residentBytes(pids: readonly number[]): number {
  return sum(pids.map((pid) => statusBytes(pid, 'VmRSS')))
}

/** A process and all its descendants: some fronts are a master and its workers. */
export function processTree(root: number): readonly number[] {
  const parents = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      try {
        return [[Number(name), Number(statFields(Number(name))[1])] as const]
      } catch {
        // It ended while the list was read.
        return []
      }
    })
  const tree = [root]
  for (const member of tree) tree.push(...parents.filter(([, parent]) => parent === member).map(([pid]) => pid))
  return tree
}

function statusBytes(pid: number, name: 'VmHWM' | 'VmRSS'): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  const kibibytes = new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1]
  if (kibibytes === undefined) throw new Error(`the process ${pid} has no ${name}`)
  return Number(kibibytes) * 1024
}

/** The fields of /proc/PID/stat behind the command, whose name may itself hold spaces and parentheses: `[0]` is the state. */
function statFields(pid: number): readonly string[] {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}
