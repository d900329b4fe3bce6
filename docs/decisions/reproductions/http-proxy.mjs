/**
 * What http-proxy and http-proxy-3 do with a chunked DELETE, with an upstream that dies in the middle of a body, and
 * with a client that goes away; the same beside `node:http` used in two ways. See 0003-forwarding.md.
 */
import http from 'node:http'
import net from 'node:net'
import { pipeline } from 'node:stream'
import { conclude, connectRaw, listen, openPackages, within } from './stage.mjs'

const patienceMs = 3000
const packages = openPackages()

/** What an application may do in the library's `error` event; the second is what most people write. */
const errorHandlers = {
  'as in the README (writeHead 500, end)': (error, request, response) => {
    response.writeHead(500, { 'Content-Type': 'text/plain' })
    response.end('Something went wrong.')
  },
  'writeHead unless sent, end': (error, request, response) => {
    if (!response.headersSent) response.writeHead(502)
    response.end()
  },
  destroy: (error, request, response) => response.destroy(),
}

/** A proxy made with one of the two libraries, as their own pages show it, with a keep-alive agent to the upstream. */
function libraryProxy(name) {
  return (upstreamPort, onError = errorHandlers.destroy) => {
    const agent = new http.Agent({ keepAlive: true })
    const proxy = packages.load(name).createProxyServer({ target: `http://127.0.0.1:${upstreamPort}`, agent })
    proxy.on('error', onError)
    return http.createServer((request, response) => proxy.web(request, response))
  }
}

/** node:http with stream.pipeline; `bodyOf` says how the request's body is sent on. */
function nodeProxy(bodyOf) {
  return (upstreamPort) => {
    const agent = new http.Agent({ keepAlive: true })
    return http.createServer((request, response) => {
      const { method, url: path } = request
      const upstream = http.request({ host: '127.0.0.1', port: upstreamPort, method, path, agent })
      upstream.on('error', () => response.destroy())
      upstream.on('response', (answer) => {
        response.writeHead(answer.statusCode)
        pipeline(answer, response, () => {})
      })
      response.on('close', () => upstream.destroy())
      bodyOf(request, upstream)
    })
  }
}

const dropsBody = ['GET', 'HEAD', 'DELETE', 'OPTIONS']

const candidates = [
  {
    name: packages.label('http-proxy'),
    create: libraryProxy('http-proxy'),
    handlers: errorHandlers,
    recorded: ['SMUGGLED', 'CLIENT HANGS', 'UPSTREAM STILL OPEN', 'PROCESS WOULD DIE', 'CLEAN END', 'ok'],
  },
  {
    name: packages.label('http-proxy-3'),
    create: libraryProxy('http-proxy-3'),
    handlers: errorHandlers,
    recorded: ['SMUGGLED', 'CLIENT HANGS', 'ok', 'PROCESS WOULD DIE', 'CLEAN END', 'ok'],
  },
  {
    name: 'node:http + pipeline, body piped for every method',
    create: nodeProxy((request, upstream) => pipeline(request, upstream, () => {})),
    handlers: { 'pipeline destroys': undefined },
    recorded: ['SMUGGLED', 'ok', 'ok', 'ok'],
  },
  {
    name: 'node:http + pipeline, no body sent with GET, HEAD, DELETE, OPTIONS',
    create: nodeProxy((request, upstream) =>
      dropsBody.includes(request.method) ? upstream.end() : pipeline(request, upstream, () => {}),
    ),
    handlers: { 'pipeline destroys': undefined },
    recorded: ['ok', 'ok', 'ok', 'ok'],
  },
]

/** Runs one scene with a fresh upstream and a fresh proxy, and closes both. */
async function stage(create, upstreamServer, play) {
  const upstream = await listen(upstreamServer)
  const front = await listen(create(upstream.port))
  try {
    return await play(front.port)
  } finally {
    front.close()
    upstream.close()
  }
}

/** One DELETE goes in, its chunked body is another request: which requests does the upstream believe it got? */
async function smuggle(create) {
  const believed = []
  let raw = ''
  let second
  const smuggled = new Promise((done) => (second = done))
  const upstream = http.createServer((request, response) => {
    believed.push(`${request.method} ${request.url}`)
    request.resume()
    response.end('ok')
    if (believed.length > 1) second()
  })
  upstream.on('connection', (socket) => socket.on('data', (chunk) => (raw += chunk.toString('latin1'))))
  const hidden = 'GET /v2/secret/app/manifests/latest HTTP/1.1\r\nHost: upstream\r\n\r\n'
  const request =
    'DELETE /v2/public/app/manifests/v1 HTTP/1.1\r\nHost: front\r\nTransfer-Encoding: chunked\r\n\r\n' +
    `${hidden.length.toString(16)}\r\n${hidden}\r\n0\r\n\r\n`
  await stage(create, upstream, async (port) => {
    const client = connectRaw(port, request)
    await within(patienceMs, client.arrived)
    await within(500, smuggled)
    client.socket.destroy()
  })
  return { believed, raw, outcome: believed.length > 1 ? 'SMUGGLED' : 'ok, one request' }
}

/** A raw upstream that answers with a chunked head and one chunk, and then leaves its socket to the scene. */
function halfAnswer() {
  let accept
  const accepted = new Promise((done) => (accept = done))
  const server = net.createServer((socket) => {
    socket.once('data', () => {
      socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n')
      accept(socket)
    })
  })
  return { server, accepted }
}

const download = 'GET /v2/public/app/blobs/sha256:00 HTTP/1.1\r\nHost: front\r\n\r\n'

/** The upstream ends (FIN) or resets in the middle of a chunked body: does the client learn of it? */
async function dieMidBody(create, cut) {
  const { server, accepted } = halfAnswer()
  let fatal
  const onFatal = (error) => (fatal = error.code)
  process.on('uncaughtException', onFatal)
  const outcome = await stage(create, server, async (port) => {
    const client = connectRaw(port, download)
    const socket = await accepted
    await within(patienceMs, client.arrived)
    cut(socket)
    if (!(await within(patienceMs, client.ended))) return `CLIENT HANGS, nothing for ${patienceMs} ms`
    return client.cleanly() ? 'CLEAN END of a body that was cut' : 'ok, visibly broken'
  })
  process.off('uncaughtException', onFatal)
  return fatal === undefined ? outcome : `PROCESS WOULD DIE of an uncaught ${fatal}`
}

/** The client goes away in the middle of a download: is the upstream's connection given up? */
async function clientLeaves(create) {
  const { server, accepted } = halfAnswer()
  return stage(create, server, async (port) => {
    const client = connectRaw(port, download)
    const socket = await accepted
    await within(patienceMs, client.arrived)
    const gone = new Promise((done) => socket.once('close', done))
    client.socket.destroy()
    return (await within(patienceMs, gone)) ? 'ok, cancelled' : `UPSTREAM STILL OPEN after ${patienceMs} ms`
  })
}

const differences = []
for (const { name, create, handlers, recorded } of candidates) {
  const smuggling = await smuggle(create)
  const outcomes = [
    ['chunked DELETE', smuggling.outcome],
    ['upstream FIN in a chunked body', await dieMidBody(create, (socket) => socket.end())],
    ['client leaves a download, the upstream is', await clientLeaves(create)],
  ]
  for (const [handler, onError] of Object.entries(handlers)) {
    const broken = await dieMidBody(
      (port) => create(port, onError),
      (socket) => socket.resetAndDestroy(),
    )
    outcomes.push([`upstream RST in a chunked body, on error: ${handler}`, broken])
  }
  process.stdout.write(`\n${name}\n`)
  for (const [scene, outcome] of outcomes) process.stdout.write(`  ${scene}: ${outcome}\n`)
  process.stdout.write(`  the upstream believed it got: ${smuggling.believed.join(' | ')}\n`)
  process.stdout.write(`  the upstream's bytes: ${JSON.stringify(smuggling.raw)}\n`)
  for (const [index, [scene, outcome]] of outcomes.entries()) {
    if (!outcome.startsWith(recorded[index])) differences.push(`${name}, ${scene}: was ${recorded[index]}`)
  }
}
conclude(differences)
