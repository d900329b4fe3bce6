import { createServer } from 'node:http'
import type { ServerResponse } from 'node:http'
import { connect } from 'node:net'
import type { AddressInfo } from 'node:net'
import { expect, test } from '@jest/globals'
import { endAnswer } from '../../../src/proxy/early-answer.ts'
import { until } from '../../support/until.ts'

test('a client that is still sending has its whole answer before it is read out, corked or not', async () => {
  let answer: ServerResponse | undefined
  const server = createServer((req, res) => {
    answer = res
    res.writeHead(403, { 'content-length': 7, connection: 'close' })
    res.write('refused')
    // As a pump leaves it.
    res.cork()
    void endAnswer(req, res)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const client = connect(port, '127.0.0.1')
  try {
    let text = ''
    client.on('data', (chunk: Buffer) => (text += chunk.toString()))
    client.write('PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345')
    await until(() => text.endsWith('refused'), { what: 'the answer' })
    expect(answer?.writableEnded).toBe(false)
    client.write('67890')
    await until(() => answer?.writableFinished === true, { what: 'the end of the answer' })
  } finally {
    client.destroy()
    server.close()
  }
})
