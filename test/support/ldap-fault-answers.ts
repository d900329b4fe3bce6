/** What the LDAP fault server can do with an operation instead of answering it. */
import { setTimeout as delay } from 'node:timers/promises'
import { berLength, berTag, readBer } from './ldap-ber.ts'
import type { LdapEntry } from './ldap-entries.ts'
import type { FaultConnection, FaultOperation, FaultScript } from './ldap-fault-connection.ts'
import { disconnectionMessage, entryMessage, ldapMessage, referenceMessage, resultMessage } from './ldap-messages.ts'
import type { LdapResult } from './ldap-messages.ts'

/** The proper answer; to StartTLS also TLS. */
export const answer: FaultScript = ({ request, connection, proper }) => {
  if (request.kind === 'startTls') {
    connection.write(Buffer.concat(proper))
    connection.startTls()
  } else if (proper.length > 0) connection.write(Buffer.concat(proper))
}

export const neverAnswer: FaultScript = () => undefined

/** Answers properly after a time. */
export function answerAfter(delayMs: number): FaultScript {
  return (operation) => {
    void delay(delayMs, undefined, { ref: false }).then(() => {
      answer(operation)
    })
  }
}

/** Keeps operations until it is told: in what order they are answered is up to the test. */
export function holdAnswers(): {
  readonly script: FaultScript
  readonly held: () => number
  /** Answers what is held; every later operation is held again. */
  readonly release: (order?: 'arrived' | 'reversed') => void
} {
  let operations: FaultOperation[] = []
  return {
    script: (operation) => {
      operations.push(operation)
    },
    held: () => operations.length,
    release: (order = 'arrived') => {
      const waiting = operations
      operations = []
      for (const operation of order === 'arrived' ? waiting : waiting.toReversed()) answer(operation)
    },
  }
}

/** Answers in reversed order as soon as so many have come. */
export function answerReversed(count: number): FaultScript {
  const { script, held, release } = holdAnswers()
  return (operation) => {
    script(operation)
    if (held() >= count) release('reversed')
  }
}

export const answerTwice: FaultScript = ({ connection, proper }) => {
  connection.write(Buffer.concat([...proper, ...proper]))
}

/** Sends the answer under a message id that nobody asked by, and, unless `isAlone`, the proper one after it. */
export function answerUnknownId({ isAlone }: { readonly isAlone: boolean }): FaultScript {
  return ({ connection, proper, request }) => {
    const foreign = proper.map((message) => withId(message, request.id + 1_000_000))
    connection.write(Buffer.concat(isAlone ? foreign : [...foreign, ...proper]))
  }
}

/** Ends the operation with a result: any code, referrals too. */
export function answerResult(result: LdapResult): FaultScript {
  return ({ connection, request }) => {
    connection.write(resultMessage(request, result))
  }
}

/** Sub-codes by which Active Directory says why a bind failed, all with result code 49. */
export type ActiveDirectoryCode = '52e' | '525' | '530' | '531' | '532' | '533' | '701' | '773' | '775'

export function answerActiveDirectory(code: ActiveDirectoryCode): FaultScript {
  const text = `80090308: LdapErr: DSID-0C090447, comment: AcceptSecurityContext error, data ${code}, v4563\0`
  return answerResult({ code: 49, text })
}

/** Result code 10: ask there instead. */
export function answerReferral(...referrals: readonly string[]): FaultScript {
  return answerResult({ code: 10, referrals })
}

/** A search reference before the proper answer. */
export function answerReference(...urls: readonly string[]): FaultScript {
  return ({ connection, proper, request }) => {
    connection.write(Buffer.concat([referenceMessage(request.id, urls), ...proper]))
  }
}

/** These entries, with exactly these attributes, and a result (success unless told). */
export function answerEntries(entries: readonly LdapEntry[], result: LdapResult = { code: 0 }): FaultScript {
  return ({ connection, request }) => {
    const messages = entries.map((entry) => entryMessage(request.id, entry))
    connection.write(Buffer.concat([...messages, resultMessage(request, result)]))
  }
}

/** The first entries of the proper answer, then a result such as sizeLimitExceeded (4) or timeLimitExceeded (3). */
export function answerPart(entries: number, result: LdapResult): FaultScript {
  return ({ connection, proper, request }) => {
    const whole = proper.slice(0, -1).slice(0, entries)
    connection.write(Buffer.concat([...whole, resultMessage(request, result)]))
  }
}

/** Exactly these bytes. */
export function answerBytes(bytes: Buffer | ((operation: FaultOperation) => Buffer)): FaultScript {
  return (operation) => {
    operation.connection.write(typeof bytes === 'function' ? bytes(operation) : bytes)
  }
}

/** Bytes that are no LDAP message, by what is wrong with them. */
export const garbage = {
  text: Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n'),
  zeros: Buffer.alloc(64),
  'highest bytes': Buffer.alloc(64, 0xff),
  'indefinite length': Buffer.from([0x30, 0x80, 0x02, 0x01, 0x01, 0x00, 0x00]),
  'length of nine bytes': Buffer.from([0x30, 0x89, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0]),
  'empty message': Buffer.from([0x30, 0x00]),
  'inner length beyond the message': Buffer.from([0x30, 0x05, 0x02, 0x01, 0x01, 0x61, 0x7f]),
  'id is no number': Buffer.from([0x30, 0x07, 0x04, 0x01, 0x41, 0x61, 0x02, 0x0a, 0x00]),
} as const satisfies Readonly<Record<string, Buffer>>

/** A message of the operation's id whose operation has a tag that LDAP does not know. */
export const answerUnknownOperation: FaultScript = ({ connection, request }) => {
  connection.write(ldapMessage(request.id, Buffer.from([0x7e, 0x00])))
}

/** Announces a message of that size; with `isSent` it sends zeros for as long as the other side reads. */
export function announce(bytes: number, { isSent = false } = {}): FaultScript {
  return ({ connection }) => {
    connection.write(Buffer.concat([Buffer.from([berTag.sequence]), berLength(bytes)]))
    if (isSent) void flood(connection, bytes)
  }
}

async function flood(connection: FaultConnection, bytes: number): Promise<void> {
  const piece = Buffer.alloc(1 << 16)
  for (let sent = 0; sent < bytes && !connection.isClosed; sent += piece.length) {
    connection.write(piece)
    await connection.drained()
  }
}

/** Ends the connection instead of an answer. */
export const endInstead: FaultScript = ({ connection }) => {
  connection.end()
}

export const resetInstead: FaultScript = ({ connection }) => {
  connection.reset()
}

/** Says that it will hang up (unavailable unless told), and does. */
export function disconnect(result: LdapResult = { code: 52, text: 'shutting down' }): FaultScript {
  return ({ connection }) => {
    connection.write(disconnectionMessage(result))
    connection.end()
  }
}

/** Sends the first bytes of the proper answer and ends the connection. */
export function cutAnswer(bytes: number): FaultScript {
  return ({ connection, proper }) => {
    connection.write(Buffer.concat(proper).subarray(0, bytes))
    connection.end()
  }
}

export const answerAndEnd: FaultScript = (operation) => {
  answer(operation)
  operation.connection.end()
}

/** Sends the proper answer a byte at a time. */
export const answerByteByByte: FaultScript = ({ connection, proper }) => {
  void (async () => {
    for (const byte of Buffer.concat(proper)) {
      connection.write(Buffer.from([byte]))
      await new Promise((resolve) => setImmediate(resolve))
    }
  })()
}

/** Agrees to StartTLS, and then ... */
export const startTls = {
  /** ... ends the connection before the handshake. */
  end: ({ connection, proper }) => {
    connection.write(Buffer.concat(proper))
    connection.end()
  },
  /** ... resets it. */
  reset: ({ connection, proper }) => {
    connection.write(Buffer.concat(proper))
    setImmediate(connection.reset)
  },
  /** ... answers the beginning of the handshake with something that is not TLS. */
  garbage: ({ connection, proper }) => {
    connection.takeOver(() => {
      connection.write(garbage.text)
    })
    connection.write(Buffer.concat(proper))
  },
  /** ... sends something that is not TLS at once, and nothing after it. */
  garbageAtOnce: ({ connection, proper }) => {
    connection.takeOver(() => undefined)
    connection.write(Buffer.concat([...proper, garbage.text]))
  },
  /** ... never says anything again. */
  silence: ({ connection, proper }) => {
    connection.takeOver(() => undefined)
    connection.write(Buffer.concat(proper))
  },
  /** ... ends TLS and the connection right after the handshake. */
  endSecured: ({ connection, proper }) => {
    connection.write(Buffer.concat(proper))
    connection.startTls(connection.end)
  },
  /** ... slips in, in the clear, the answer to a bind that was not yet asked (message id 2), before TLS begins. */
  injectBindSuccess: ({ connection, proper, request }) => {
    const forged = resultMessage({ kind: 'bind', id: request.id + 1, dn: '', password: '' }, { code: 0 })
    connection.write(Buffer.concat([...proper, forged]))
    connection.startTls()
  },
} as const satisfies Readonly<Record<string, FaultScript>>

function withId(message: Buffer, id: number): Buffer {
  const content = readBer(message)?.content ?? Buffer.alloc(0)
  return ldapMessage(id, content.subarray(readBer(content)?.end))
}
