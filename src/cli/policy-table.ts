/** Tables of short texts, for people and for programs. */
import { styleText } from 'node:util'

const widthElsewhere = 120
const gap = '  '

/**
 * Prints lines as columns; the first line is the head, the first column stands in front of every part. What is wider than
 * the terminal (120 columns where there is none) is parted into several tables below each other.
 */
export function printTable(
  lines: readonly (readonly string[])[],
  stream: NodeJS.WritableStream & { readonly columns?: number },
): string {
  const widths = (lines[0] ?? []).map((_, column) =>
    lines.reduce((width, line) => Math.max(width, (line[column] ?? '').length), 0),
  )
  return parts(widths, stream.columns ?? widthElsewhere)
    .map((columns) => lines.map((line, index) => printLine(line, columns, widths, index === 0, stream)).join(''))
    .join('\n')
}

/** Which columns stand in which part: as many as fit, and one at least. */
function parts(widths: readonly number[], room: number): readonly (readonly number[])[] {
  const [first = 0, ...others] = widths
  const found: number[][] = []
  let used = 0
  others.forEach((width, index) => {
    const last = found.at(-1)
    if (last !== undefined && used + gap.length + width <= room) {
      last.push(index + 1)
      used += gap.length + width
    } else {
      found.push([0, index + 1])
      used = first + gap.length + width
    }
  })
  return found
}

function printLine(
  line: readonly string[],
  columns: readonly number[],
  widths: readonly number[],
  isHead: boolean,
  stream: NodeJS.WritableStream,
): string {
  const text = columns.map((column) => (line[column] ?? '').padEnd(widths[column] ?? 0)).join(gap)
  const trimmed = text.trimEnd()
  // styleText leaves the text plain unless the stream is a terminal and NO_COLOR is not set.
  return `${isHead ? styleText('bold', trimmed, { stream }) : trimmed}\n`
}

/** RFC 4180, with line feeds. */
export function printCsv(lines: readonly (readonly string[])[]): string {
  return lines.map((line) => `${line.map(quoted).join(',')}\n`).join('')
}

function quoted(text: string): string {
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}
