import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals'
import { connectRaw, headerOf } from '../support/raw-http-client.ts'
import { startRecordingUpstream } from '../support/recording-upstream.ts'
import type { RecordingUpstream } from '../support/recording-upstream.ts'
import { until } from '../support/until.ts'
import { attack, closing, digest, startFront } from './attack.ts'
import type { Front, RawRequest } from './attack.ts'

let passing: Front
let listing: Front
let following: Front
/** As `following`, for answers that do not come whole. */
let hurried: Front
let store: RecordingUpstream
let stranger: RecordingUpstream

beforeAll(async () => {
  store = await startRecordingUpstream()
  stranger = await startRecordingUpstream()
  passing = await startFront()
  listing = await startFront({ upstream: { redirectHosts: ['s3.example'] } })
  const credential = { username: 'gateway', password: 'secret-1' }
  const redirectHosts = [`127.0.0.1:${store.port}`]
  const follow = { redirects: 'follow', redirectHosts, credential }
  following = await startFront({ upstream: follow })
  hurried = await startFront({ upstream: { ...follow, timeouts: { headersMs: 500 } } })
})
afterAll(async () => {
  await Promise.all([passing, listing, following, hurried].map((front) => front.stop()))
  await Promise.all([store, stranger].map((upstream) => upstream.close()))
})
afterEach(() => {
  for (const upstream of [passing, listing, following, hurried].map((front) => front.upstream).concat(store, stranger))
    upstream.reset()
})

const blob = `/v2/a/blobs/${digest}`

async function redirected(front: Front, location: string, request: RawRequest = {}, status = 307) {
  front.upstream.respondWith((connection, heads) => {
    if (heads.at(-1)?.includes('x-request-id') !== true) return
    const cookies = 'Set-Cookie: a=b\r\nRefresh: 0;url=http://evil'
    connection.socket.end(
      `HTTP/1.1 ${status} Elsewhere\r\nLocation: ${location}\r\n${cookies}\r\nContent-Type: text/html\r\nContent-Length: 5\r\n\r\n<a></`,
    )
  })
  return attack(front, closing({ target: blob, ...request }))
}

const dishonest = [
  ['plain http', 'http://s3.example/bucket?X-Amz-Signature=x'],
  ['no scheme', '//evil.example/x'],
  ['a path', '/v2/b/blobs/x'],
  ['itself', blob],
  ['a backslash', 'https:\\\\evil.example/x'],
  ['a mixed slash', 'https:/\\evil.example/x'],
  ['one slash', 'https:/s3.example/x'],
  ['a user', 'https://s3.example@evil.example/x'],
  ['javascript', 'javascript:alert(1)'],
  ['data', 'data:text/html,x'],
  ['file', 'file:///etc/passwd'],
  ['ftp', 'ftp://s3.example/x'],
  ['a space', 'https://s3.example/a b'],
  ['letters over 127', 'https://s3.example/\xe9'],
  ['a bad port', 'https://s3.example:99999/x'],
  ['nothing', ''],
] as const

describe('A-67 redirects: pass', () => {
  test.each(dishonest)('a Location with %s is a 502', async (_what, location) => {
    const { answers, text } = await redirected(passing, location)
    expect(answers.map(({ status }) => status)).toEqual([502])
    expect(text).not.toMatch(/location:|evil|s3\.example/i)
  })

  test.each([301, 302, 303, 307, 308])('%i to https passes as 307 with its query to the letter', async (status) => {
    const location = 'https://s3.example/bucket/x?X-Amz-Signature=a%2Fb%3D&n=1+2'
    const { answers, text } = await redirected(passing, location, {}, status)
    expect(answers).toMatchObject([{ status: 307, body: '' }])
    expect(headerOf(answers[0], 'location')).toBe(location)
    expect(text).not.toMatch(/set-cookie|refresh|<a>/i)
  })

  test('only to listed hosts, when there is a list', async () => {
    const listed = await redirected(listing, 'https://s3.example/x')
    expect(listed.answers.map(({ status }) => status)).toEqual([307])
    for (const other of ['s3.example.evil', 'evil-s3.example', 's3.example:444', 'x.s3.example', 'evil/s3.example']) {
      const { answers, text } = await redirected(listing, `https://${other}/x`)
      expect(answers.map(({ status }) => status)).toEqual([502])
      expect(text).not.toContain(other)
    }
  })

  test.each([
    ['POST', '/v2/a/blobs/uploads/'],
    ['PATCH', '/v2/a/blobs/uploads/s'],
    ['PUT', '/v2/a/manifests/v1'],
    ['DELETE', '/v2/a/manifests/v1'],
    ['GET', '/v2/a/tags/list'],
    ['GET', '/v2/'],
  ])('%s %s is never redirected', async (method, target) => {
    const { answers } = await redirected(passing, 'https://s3.example/x', {
      method,
      target,
      lines: method.startsWith('P') ? ['Content-Length: 0'] : [],
    })
    expect(answers.map(({ status }) => status)).toEqual([502])
  })
})

describe('A-67 redirects: follow', () => {
  const client = ['X-Secret: s-1', 'Cookie: s-2', 'Range: bytes=0-1', 'User-Agent: s-3']

  test('a listed host is asked without a credential of anybody, and its answer is streamed', async () => {
    store.respondWith((connection) => {
      connection.socket.end(
        'HTTP/1.1 206 Partial\r\nContent-Range: bytes 0-1/5\r\nSet-Cookie: a=b\r\nx-amz-id: s\r\nContent-Length: 2\r\n\r\nhe',
      )
    })
    const location = `http://127.0.0.1:${store.port}/bucket/x?sig=a%2Fb`
    const { answers, text } = await redirected(following, location, { lines: client })
    expect(answers).toMatchObject([{ status: 206, body: 'he' }])
    expect(headerOf(answers[0], 'docker-content-digest')).toBe(digest)
    expect(text).not.toMatch(/location|set-cookie|x-amz/i)
    const got = store.received()
    expect(got).toMatch(/^GET \/bucket\/x\?sig=a%2Fb HTTP\/1\.1\r\n/)
    expect(got).toMatch(/\r\nrange: bytes=0-1\r\n/i)
    expect(got).not.toMatch(/authorization|cookie|s-\d|x-forwarded|x-request-id/i)
  })

  test('no other host is asked', async () => {
    const places = [
      `http://127.0.0.1:${stranger.port}/x`,
      `http://localhost:${store.port}/x`,
      `http://127.1:${store.port}.evil/x`,
      `http://127.0.0.1:${store.port}@127.0.0.1:${stranger.port}/x`,
      'http://169.254.169.254/latest/meta-data/',
      'https://s3.example/x',
      `${following.upstream.url}/v2/secret/blobs/${digest}`,
    ]
    for (const place of places) {
      const { answers } = await redirected(following, place)
      expect(answers.map(({ status }) => status)).toEqual([502])
    }
    expect(stranger.connections).toHaveLength(0)
    expect(store.connections).toHaveLength(0)
    expect(following.upstream.received()).not.toContain('secret/blobs')
  })

  test('a listed host that redirects on is judged again', async () => {
    store.respondWith((connection) => {
      connection.socket.end(
        `HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:${stranger.port}/x\r\nContent-Length: 0\r\n\r\n`,
      )
    })
    const { answers } = await redirected(following, `http://127.0.0.1:${store.port}/x`)
    expect(answers.map(({ status }) => status)).toEqual([502])
    expect(stranger.connections).toHaveLength(0)
  })

  test('a circle ends', async () => {
    store.respondWith((connection) => {
      connection.socket.end(
        `HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:${store.port}/x\r\nContent-Length: 0\r\n\r\n`,
      )
    })
    const { answers } = await redirected(following, `http://127.0.0.1:${store.port}/x`)
    expect(answers.map(({ status }) => status)).toEqual([502])
    expect(store.connections.length).toBeLessThanOrEqual(5)
  })

  test.each(dishonest.filter(([what]) => what !== 'plain http'))(
    'a Location with %s is a 502',
    async (_what, location) => {
      const { answers } = await redirected(following, location)
      expect(answers.map(({ status }) => status)).toEqual([502])
    },
  )

  test.each([401, 403])('a %i of the store is a 502 without its challenge', async (status) => {
    store.respondWith((connection) => {
      connection.socket.end(`HTTP/1.1 ${status} No\r\nWWW-Authenticate: Basic realm="x"\r\nContent-Length: 0\r\n\r\n`)
    })
    const { answers, text } = await redirected(following, `http://127.0.0.1:${store.port}/x`)
    expect(answers.map((answer) => answer.status)).toEqual([502])
    expect(text).not.toMatch(/realm|www-auth/i)
  })

  const envelope = '{"errors":[{"code":"DENIED","message":"quota of the project is used up"}]}'
  test.each([
    [envelope, 403],
    ['<html>no</html>', 502],
    ['{"errors":"x"}', 502],
  ])('A-66 with a credential a 403 of the registry passes in the envelope only: %s', async (body, status) => {
    following.upstream.respondWith((connection, heads) => {
      if (heads.at(-1)?.includes('x-request-id') !== true) return
      connection.socket.end(
        `HTTP/1.1 403 No\r\nContent-Type: application/json\r\nSet-Cookie: a=b\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
      )
    })
    const { answers, text } = await attack(
      following,
      closing({ method: 'PUT', target: '/v2/a/manifests/v1', lines: ['Content-Length: 0'] }),
    )
    expect(answers.map((answer) => answer.status)).toEqual([status])
    expect(text.includes(body)).toBe(status === 403)
    expect(text).not.toMatch(/set-cookie/i)
  })

  test('A-66 a 403 whose body does not come is a 502 in time, and its connection is given up', async () => {
    hurried.upstream.respondWith((connection, heads) => {
      if (heads.at(-1)?.includes('x-request-id') === true) connection.socket.write(unfinished('403 No'))
    })
    const { answers } = await attack(hurried, closing({ target: '/v2/a/manifests/v1' }))
    expect(answers.map((answer) => answer.status)).toEqual([502])
    const asked = () => hurried.upstream.connections.filter(({ received }) => received.includes('x-request-id'))
    await until(() => asked().every(({ closed }) => closed), { what: 'the connection is given up' })
  })

  test('F-23 a client that leaves takes the connection to the store with it', async () => {
    store.respondWith(() => undefined)
    following.upstream.respondWith((connection, heads) => {
      if (heads.at(-1)?.includes('x-request-id') !== true) return
      const location = `http://127.0.0.1:${store.port}/x`
      connection.socket.write(`HTTP/1.1 307 Elsewhere\r\nLocation: ${location}\r\nContent-Length: 0\r\n\r\n`)
    })
    const socket = await connectRaw(following.gateway.target)
    socket.write(closing({ target: blob }))
    await until(() => store.connections.length === 1, { what: 'the store is asked' })
    socket.destroy()
    await until(() => store.connections.every(({ closed }) => closed), { what: 'it is closed' })
  })

  test.each(['302 Found', '404 No', '403 No'])(
    'a %s of the store whose body does not come holds no connection',
    async (status) => {
      store.respondWith((connection) => {
        connection.socket.write(unfinished(status))
      })
      await redirected(following, `http://127.0.0.1:${store.port}/x`)
      expect(store.connections).toHaveLength(1)
      await until(() => store.connections.every(({ closed }) => closed), { what: 'it is closed' })
    },
  )
})

/** An answer that announces a body and sends none of it. */
function unfinished(status: string): string {
  const location = `Location: http://127.0.0.1:${stranger.port}/x`
  return `HTTP/1.1 ${status}\r\n${location}\r\nContent-Type: text/plain\r\nContent-Length: 9\r\n\r\n`
}
