import { join } from 'node:path'
import { expect, test } from '@jest/globals'
import { initCertificates } from '../../src/cli/certificate-files.ts'
import { manyTimes, shakeHands } from '../support/crowd.ts'
import { startRecordingUpstream } from '../support/recording-upstream.ts'
import { startGateway } from '../support/start-gateway.ts'

test('F-58: certificates that change under load cost not one of 1,500 handshakes', async () => {
  const upstream = await startRecordingUpstream()
  const gateway = await startGateway({ upstreamUrl: upstream.url })
  const rotation = { isOver: false, count: 0 }
  /** Writes another certificate of the same authority again and again, and has it read. */
  const rotate = async (): Promise<void> => {
    for (; !rotation.isOver; rotation.count += 1) {
      await initCertificates({ directory: join(gateway.directory, 'certs'), hosts: ['localhost'], force: true })
      await gateway.server.reload()
    }
  }
  const rotating = rotate()
  const hands = await manyTimes(1_500, () => shakeHands(gateway.target))
  rotation.isOver = true
  await rotating
  expect(hands.filter((each) => 'failure' in each)).toEqual([])
  const serials = new Set(hands.map((each) => ('serial' in each ? each.serial : '')))
  expect(serials.size).toBeGreaterThan(3)
  await gateway.stop()
  await upstream.close()
})
