/** Datagrams: judged by address and name, answered in the destination's name, refused so that clients notice at once. */
import { describe, expect, it } from 'vitest';
import { ADDRESSES, PORTS } from './network.ts';
import { countArrivals, useBox, useNetwork } from './suite.ts';
import { USERS } from './box.ts';

const { origin, denied, attacker } = ADDRESSES;

const POLICY = `
default: Deny
allow:
- udp: {hosts: [allowed.test], ports: [${PORTS.udp}]}
- tls: {hosts: [allowed.test]}
`;

/** The beginning of a QUIC v1 Initial, padded as clients pad it. */
const QUIC = `b'\\xc3\\0\\0\\0\\1\\x08' + b'd' * 8 + b'\\0\\0\\x44\\x8c' + bytes(1200)`;

const network = useNetwork();

describe.each(USERS)('as %s', (user) => {
  const box = useBox(network, { user, policy: POLICY });

  it.each([4, 6] as const)('IPv%s: an allowed exchange, connected and not, large and small', async (family) => {
    const said = await box().python(`
socket.getaddrinfo('allowed.test', 1)
address = ('${origin[family]}', ${PORTS.udp})
with socket.socket(socket.AF_INET${family === 6 ? '6' : ''}, socket.SOCK_DGRAM) as s:
    s.settimeout(3)
    for size in (1, 1200, 9000):
        s.sendto(b'x' * size, address)
        bytes_, sender = s.recvfrom(65536)
        print(len(bytes_), sender[:2] == address)
    s.connect(address)
    for index in range(20): s.send(b'%d' % index)
    print(sorted(int(s.recv(9)) for index in range(20)) == list(range(20)))
    print(s.getpeername()[:2] == address)
`);
    expect(said.split('\n')).toEqual(['1 True', '1200 True', '9000 True', 'True', 'True']);
    await box().record({ verdict: 'allowed', class: 'udp', destination: { address: origin[family], port: PORTS.udp } });
  });

  it.each([
    ['another address', attacker[4], PORTS.udp],
    ['another address', attacker[6], PORTS.udp],
    ['another port', origin[4], PORTS.udpOther],
    ['another port', origin[6], PORTS.udpOther],
    ['a time server', denied[4], 123],
  ])('%s (%s, port %s) is refused at once, and nothing arrives', async (_, address, port) => {
    await box().forget();
    const arrived = await countArrivals(network(), `${address} udp ${port}`);
    const said = await box().python(`
begun = time.time()
print(datagram('${address}', ${port}, b'x' * 9000, timeout=3))
print(time.time() - begun < 1)
`);
    expect(said).toMatch(/^(EHOSTUNREACH|ECONNREFUSED|EACCES)\nTrue$/);
    await box().record({ verdict: 'denied', class: 'udp', destination: { address, port } });
    expect(await arrived()).toBe(0);
  });

  it.each([attacker[4], attacker[6], origin[4], origin[6]])(
    'QUIC to %s is refused at once, so that clients fall back to TCP',
    async (address) => {
      await box().forget();
      const arrived = await countArrivals(network(), `${address} udp 443`);
      const said = await box().python(`print(datagram('${address}', 443, ${QUIC}, timeout=3))`);
      expect(said).toMatch(/^(EHOSTUNREACH|ECONNREFUSED|EACCES)$/);
      await box().record({ verdict: 'denied', class: 'quic', destination: { address, port: 443 } });
      expect(await arrived()).toBe(0);
    },
  );

  it('one socket to many: each flow is judged by itself', async () => {
    const arrived = await countArrivals(network(), `${attacker[4]} udp ${PORTS.udp}`);
    const said = await box().python(`
socket.getaddrinfo('allowed.test', 1)
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    s.settimeout(1)
    for address in ('${origin[4]}', '${attacker[4]}', '${origin[4]}'):
        for index in range(3):
            s.sendto(b'many', (address, ${PORTS.udp}))
    senders = []
    try:
        while True: senders.append(s.recvfrom(99)[1][0])
    except OSError: pass
print(senders)
`);
    expect(said).toBe(`[${Array.from({ length: 6 }, () => `'${origin[4]}'`).join(', ')}]`);
    expect(await arrived()).toBe(0);
  });

  it.each(['224.0.0.251', '255.255.255.255', '198.18.0.255', 'ff02::fb'])('to many at once (%s): nothing arrives', async (address) => {
    await box().python(`
with socket.socket(socket.AF_INET${address.includes(':') ? '6' : ''}, socket.SOCK_DGRAM) as s:
    s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    print(attempt(lambda: s.sendto(b'all', ('${address}', 5353))))
`);
    expect([...(await network().packets()).keys()].filter((where) => where.endsWith('udp 5353'))).toEqual([]);
  }); // prettier-ignore
});
