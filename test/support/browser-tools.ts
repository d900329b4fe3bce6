/** The little of the Chrome DevTools Protocol that the tests need, over Node's own WebSocket. */

/** A tab that DevTools drives. */
export type Tab = {
  navigate(url: string): Promise<void>
  /** The value of an expression in the page; a promise is awaited. Rejects with what the page throws. */
  evaluate(expression: string): Promise<unknown>
}

export type DevTools = {
  openTab(): Promise<Tab>
  close(): void
}

type Message = {
  readonly id?: number
  readonly result?: Readonly<Record<string, unknown>>
  readonly error?: { readonly message: string }
}

type Call = (method: string, params: object, sessionId?: string) => Promise<Readonly<Record<string, unknown>>>

/** Connects to the browser-wide endpoint that the browser prints when it starts. */
export async function openDevTools(url: string): Promise<DevTools> {
  const socket = new WebSocket(url)
  await new Promise((resolve, reject) => {
    socket.addEventListener('open', resolve, { once: true })
    socket.addEventListener('error', reject, { once: true })
  })
  const call = callsOver(socket)
  return {
    openTab: async () => {
      const { targetId } = await call('Target.createTarget', { url: 'about:blank' })
      const { sessionId } = await call('Target.attachToTarget', { targetId, flatten: true })
      return tabOf((method, params) => call(method, params, String(sessionId)))
    },
    close: () => {
      socket.close()
    },
  }
}

function callsOver(socket: WebSocket): Call {
  const waiting = new Map<number, PromiseWithResolvers<Readonly<Record<string, unknown>>>>()
  let lastId = 0
  socket.addEventListener('message', ({ data }) => {
    const { id, result, error } = JSON.parse(String(data)) as Message
    const waiter = waiting.get(id ?? -1)
    if (id === undefined || waiter === undefined) return
    waiting.delete(id)
    if (error === undefined) waiter.resolve(result ?? {})
    else waiter.reject(new Error(error.message))
  })
  socket.addEventListener('close', () => {
    for (const { reject } of waiting.values()) reject(new Error('the browser is gone'))
  })
  return (method, params, sessionId) => {
    lastId += 1
    const waiter = Promise.withResolvers<Readonly<Record<string, unknown>>>()
    waiting.set(lastId, waiter)
    socket.send(JSON.stringify({ id: lastId, method, params, ...(sessionId !== undefined && { sessionId }) }))
    return waiter.promise
  }
}

function tabOf(call: Call): Tab {
  return {
    navigate: async (url) => {
      const { errorText } = await call('Page.navigate', { url })
      if (typeof errorText === 'string') throw new Error(`${url}: ${errorText}`)
    },
    evaluate: async (expression) => {
      const answer = await call('Runtime.evaluate', { expression, awaitPromise: true, returnByValue: true })
      if ('exceptionDetails' in answer) throw new Error(JSON.stringify(answer['exceptionDetails']))
      return (answer['result'] as { readonly value?: unknown }).value
    },
  }
}
