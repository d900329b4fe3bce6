import { createHash, X509Certificate } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openDevTools } from './browser-tools.ts'
import type { DevTools } from './browser-tools.ts'
import { part } from './part.ts'
import { start } from './processes.ts'
import { until } from './until.ts'

/** What a page got from `fetch`: the answer as far as the browser shows it, or nothing, with the browser's own words. */
export type PageAnswer =
  | {
      readonly kind: 'answer'
      /** `opaque` for an answer of which the page sees nothing at all. */
      readonly type: string
      readonly status: number
      /** Those that the page can read. */
      readonly headers: Readonly<Record<string, string>>
      readonly body: string
    }
  | { readonly kind: 'kept'; readonly message: string }

export type PageRequest = {
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
  readonly mode?: 'cors' | 'no-cors'
  /** `include`: with the login that the browser keeps. */
  readonly credentials?: 'omit' | 'same-origin' | 'include'
}

export type Page = {
  /** What the page's `fetch` gives. */
  fetch(url: string, request?: PageRequest): Promise<PageAnswer>
  /** `null` for a page that has no origin of its own. */
  origin(): Promise<string>
}

export interface Browser {
  /** Opens an address in a tab of its own and waits until it is loaded. */
  open(url: string): Promise<Page>
  stop(): Promise<void>
}

/**
 * Starts Debian's chromium without a window, with an empty profile, and keeps it on loopback. Of all certificates that
 * are not publicly trusted it accepts only the one given (PEM).
 */
export async function startBrowser(certificate: string): Promise<Browser> {
  const profile = mkdtempSync(join(tmpdir(), 'wharfgate-browser-'))
  const running = start(part('chromium'), [...quiet, ...ourCertificate(certificate), `--user-data-dir=${profile}`])
  async function stop(): Promise<void> {
    await running.stop()
    rmSync(profile, { recursive: true, force: true, maxRetries: 10 })
  }
  try {
    const listening = /^DevTools listening on (ws:\S+)/m
    const url = await until(() => listening.exec(running.stderr())?.[1], { what: 'the browser listens' })
    const tools = await openDevTools(url)
    return {
      open: (address) => openPage(tools, address),
      stop: async () => {
        tools.close()
        await stop()
      },
    }
  } catch (error) {
    await stop()
    throw new Error(`the browser did not start: ${running.stderr()}`, { cause: error })
  }
}

const quiet = [
  '--headless',
  // Its pages are the tests' own; root cannot have the sandbox.
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--disable-dev-shm-usage',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--no-first-run',
  '--remote-debugging-port=0',
  '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost, EXCLUDE *.localhost',
]

function ourCertificate(pem: string): readonly string[] {
  const spki = new X509Certificate(pem).publicKey.export({ type: 'spki', format: 'der' })
  return [`--ignore-certificate-errors-spki-list=${createHash('sha256').update(spki).digest('base64')}`]
}

async function openPage(tools: DevTools, url: string): Promise<Page> {
  const session = await tools.openTab()
  const evaluate = (expression: string): Promise<unknown> => session.evaluate(expression)
  await session.navigate(url)
  await until(() => evaluate('location.href !== "about:blank" && document.readyState === "complete"'), {
    what: `${url} is loaded`,
  })
  return {
    origin: async () => String(await evaluate('self.origin')),
    fetch: async (address, request = {}) =>
      (await evaluate(`(${fetchInPage.toString()})(${JSON.stringify([address, request])})`)) as PageAnswer,
  }
}

/** Runs in the page, where nothing else of this file exists. */
function fetchInPage([url, request]: readonly [string, PageRequest]): Promise<PageAnswer> {
  return fetch(url, { cache: 'no-store', ...request }).then(
    async (answer) => ({
      kind: 'answer',
      type: answer.type,
      status: answer.status,
      headers: Object.fromEntries(answer.headers),
      body: await answer.text(),
    }),
    (error: unknown) => ({ kind: 'kept', message: String(error) }),
  )
}
