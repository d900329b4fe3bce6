import { isIPv6 } from 'node:net'
import type { Config } from '../config/schema.ts'
import type { Listener } from '../listener/listen.ts'
import type { AdminListener } from './admin-listener.ts'

/** Ports that were bound, which differ from the configured ones where those are 0, and the addresses as URLs. */
export type BoundPorts = {
  readonly port: number
  /** Of the plain-HTTP listener that redirects; absent where there is none. */
  readonly redirectPort: number | undefined
  readonly adminPort: number
}

export type Listeners = {
  /** Binds all of them, or none. @throws ListenError */
  listen(): Promise<BoundPorts & { readonly addresses: readonly string[] }>
  /** Ends those that clients use; resolves with the number of connections that the deadline cut off. */
  drain(timeoutMs: number): Promise<number>
  /** Ends the admin listener, which tells of the draining until then. */
  close(): Promise<void>
}

type All = { readonly public: Listener; readonly redirect: Listener | undefined; readonly admin: AdminListener }

/** The listeners of a gateway as one. */
export function createListeners({ tls, listen, admin }: Config, all: All): Listeners {
  const drain = async (timeoutMs: number): Promise<number> => {
    const [cutOff] = await Promise.all([all.public.drain(timeoutMs), all.redirect?.drain(0)])
    return cutOff
  }
  return {
    drain,
    close: () => all.admin.close(),
    listen: async () => {
      try {
        const adminPort = await all.admin.listen()
        const redirectPort = (await all.redirect?.listen())?.port
        const { port } = await all.public.listen()
        const addresses = [
          urlOf(tls.enabled ? 'https' : 'http', listen.host, port),
          ...(redirectPort === undefined ? [] : [urlOf('http', listen.host, redirectPort)]),
          urlOf('http', admin.host, adminPort),
        ]
        return { port, redirectPort, adminPort, addresses }
      } catch (error) {
        await Promise.all([drain(0), all.admin.close()])
        throw error
      }
    },
  }
}

function urlOf(scheme: string, host: string, port: number): string {
  return `${scheme}://${isIPv6(host) ? `[${host}]` : host}:${port}`
}
