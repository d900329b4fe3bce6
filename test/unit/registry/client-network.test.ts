import { expect, test } from '@jest/globals'
import { clientNetwork } from '../../../src/registry/client-network.ts'

test.each([
  ['192.0.2.1', '192.0.2.1'],
  ['2001:db8::1', '2001:db8::/64'],
  ['2001:db8:0:1::1', '2001:db8:0:1::/64'],
  ['2001:DB8:0:1:ffff:ffff:ffff:ffff', '2001:db8:0:1::/64'],
  ['2001:db8:1:2:3:4:192.0.2.1', '2001:db8:1:2::/64'],
  ['1:2:3::5:6:7:8', '1:2:3::/64'],
  ['::1', '::/64'],
  ['fe80::1%eth0', 'fe80::/64'],
  ['::ffff:192.0.2.1', '192.0.2.1'],
  ['::ffff:c000:201', '192.0.2.1'],
  ['64:ff9b::c000:201', '192.0.2.1'],
  ['64:ff9b::192.0.2.1', '192.0.2.1'],
  ['2001:db8:0:1::/64', '2001:db8:0:1::/64'],
  ['', ''],
  ['not an address', 'not an address'],
])('%j is counted as %j', (address, network) => {
  expect(clientNetwork(address)).toBe(network)
})
