/** How commands take a password: from standard input, and never as an argument, which every process of the machine can read. */
import { createInterface } from 'node:readline/promises'
import { Writable } from 'node:stream'

/** Where a password comes from, and where the question for it is written. */
export type PasswordSource = {
  readonly stdin: NodeJS.ReadableStream & { readonly isTTY?: boolean }
  readonly stderr: { write(text: string): unknown }
}

/** Something that the person at the keyboard has to do differently; printed without a stack. */
export class PasswordInputError extends Error {}

/**
 * Reads no further than the first line, and no more of it than any password has.
 *
 * @param maxBytes of UTF-8
 * @param tooLong what is said of a longer one
 * @throws PasswordInputError
 */
export async function readFirstLine(input: NodeJS.ReadableStream, maxBytes: number, tooLong: string): Promise<string> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of input) {
    const bytes = Buffer.from(chunk)
    const end = bytes.indexOf(0x0a)
    chunks.push(end < 0 ? bytes : bytes.subarray(0, end))
    length += bytes.length
    if (end >= 0 || length > maxBytes + 1) break
  }
  const line = Buffer.concat(chunks)
  // What is longer may have been cut in the middle of a character.
  if (line.length > maxBytes + 1) throw new PasswordInputError(tooLong)
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(line).replace(/\r$/, '')
  } catch {
    throw new PasswordInputError('the password is not UTF-8, which is how clients send it')
  }
}

/** Asks at a terminal: lets readline edit the line, but gives it nothing to show it on. @throws PasswordInputError */
export async function askHidden({ stdin, stderr }: PasswordSource, question: string): Promise<string> {
  const nowhere = new Writable({
    write: (_chunk, _encoding, done) => {
      done()
    },
  })
  const reader = createInterface({ input: stdin, output: nowhere, terminal: true })
  stderr.write(question)
  try {
    return await Promise.race([reader.question(''), ended(reader)])
  } finally {
    reader.close()
    stderr.write('\n')
  }
}

/** Ctrl-C and Ctrl-D end the line without an answer. */
function ended(reader: NodeJS.EventEmitter): Promise<never> {
  return new Promise((_resolve, reject) => {
    reader.once('close', () => {
      reject(new PasswordInputError('no password was given'))
    })
  })
}
