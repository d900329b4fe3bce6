/** Milliseconds for which this thread has kept the processor: not how long something takes, as other programs run too. */
function processorMs(): number {
  const { user, system } = process.threadCpuUsage()
  return (user + system) / 1_000
}

/**
 * Milliseconds of processor time that something synchronous costs: the least of three tries, since the compiler and the
 * collector of garbage take turns with it. Some kernels count in steps of 10 ms.
 */
export function processorMsOf(work: () => void): number {
  const tries = Array.from({ length: 3 }, () => {
    const startedMs = processorMs()
    work()
    return processorMs() - startedMs
  })
  return Math.min(...tries)
}

/** What four times the input may cost at most, as a multiple: it is 4 where cost is linear, and 16 where it is quadratic. */
export const linearlyMore = 9

/**
 * How many times as much processor time an input of four times the size costs, on whatever machine. `prepare` makes the
 * work for a size; the work alone counts, and is done again until there is enough of it to measure.
 */
export function costOfFourfold(size: number, prepare: (size: number) => () => void): number {
  const [small, large] = [prepare(size), prepare(4 * size)]
  // In turns, so that what slows the machine down for a while slows both of them.
  const rounds = Array.from({ length: 3 }, () => [averageMsOf(small), averageMsOf(large)] as const)
  return Math.min(...rounds.map(([, ms]) => ms)) / Math.min(...rounds.map(([ms]) => ms))
}

function averageMsOf(work: () => void): number {
  const startedMs = processorMs()
  let runs = 0
  while (processorMs() - startedMs < 100) {
    work()
    runs += 1
  }
  return (processorMs() - startedMs) / runs
}
