/** What a command can send fast: the firewall loses datagrams, never itself. */
import { describe, expect, it } from 'vitest';
import { USERS } from './box.ts';
import { useBox, useNetwork } from './suite.ts';

const network = useNetwork();

describe.each(USERS)('as %s', (user) => {
  const box = useBox(network, { user, policy: 'default: Deny\nallow:\n- tls: {hosts: [allowed.test]}' });

  it('queries to very many servers', async () => {
    const said = await box().python(`
query = struct.pack('>6H', 1, 0x100, 1, 0, 0, 0) + b'\\4evil\\4test\\0' + struct.pack('>2H', 1, 1)
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for i in range(20000): s.sendto(query, ('198.19.%d.%d' % (i >> 8, i & 255), 53))
time.sleep(0.3)
print(socket.gethostbyname('allowed.test'))
`);
    expect(said).toBe('198.18.10.1');
    expect(box().running.said()).toBe('');
  });

  it('from a box that has no descriptors left', async () => {
    const said = await box().python(`
import resource
resource.prlimit(1, resource.RLIMIT_NOFILE, (5, 5))
query = struct.pack('>6H', 1, 0x100, 1, 0, 0, 0) + b'\\4evil\\4test\\0' + struct.pack('>2H', 1, 1)
for i in range(100): print(datagram('198.19.200.%d' % i, 53, query, 0.01) != '', end='')
`);
    expect(said).toBe('True'.repeat(100));
    // what was open goes on
    expect(await box().python(`print(socket.gethostbyname('allowed.test'))`)).toBe('198.18.10.1');
    expect(box().running.said()).toBe('');
  });
});
