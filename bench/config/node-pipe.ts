/**
 * Our own yardstick: the proxy that one writes first. It terminates TLS, pipes both ways with node:http and checks
 * nothing, no login either. `node node-pipe.ts PORT UPSTREAM CERTIFICATE KEY` runs it on loopback.
 */
import { readFileSync } from 'node:fs'
import { Agent, request as httpRequest } from 'node:http'
import { createServer } from 'node:https'

const [port = '', upstream = '', certificateFile = '', keyFile = ''] = process.argv.slice(2)
const { hostname, port: upstreamPort } = new URL(`http://${upstream}`)
const agent = new Agent({ keepAlive: true })

const server = createServer({ cert: readFileSync(certificateFile), key: readFileSync(keyFile) }, (asked, answer) => {
  const { method, url: path, headers } = asked
  const forwarded = httpRequest({ agent, host: hostname, port: upstreamPort, method, path, headers }, (answered) => {
    answer.writeHead(answered.statusCode ?? 502, answered.headers)
    answered.pipe(answer)
    // A body that was cut off must not look complete.
    answered.once('error', () => answer.destroy())
  })
  forwarded.once('error', () => answer.destroy())
  answer.once('close', () => {
    if (!answer.writableFinished) forwarded.destroy()
  })
  asked.pipe(forwarded)
})
server.requestTimeout = 0
server.listen(Number(port), '127.0.0.1')
