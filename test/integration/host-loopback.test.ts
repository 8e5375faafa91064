/** The host's loopback is reached by its own name alone: no range and no answer of a name server leads there. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { USERS } from './box.ts';
import { lackForNetwork } from './machine.ts';
import { ADDRESSES } from './network.ts';
import { capture, start, until, type Running } from './processes.ts';
import { useBox, useNetwork } from './suite.ts';

/** Requests are judged one by one on the first, connections and datagrams as a whole on the other. */
const PORT = 7003;
const WHOLE = 7004;
const POLICY = `
default: Deny
allow:
- http: {hosts: ["**"], cidrs: ["0.0.0.0/0", "::/0"], ports: [${PORT}]}
- tcp: {cidrs: ["0.0.0.0/0", "::/0"], ports: [${WHOLE}]}
- udp: {cidrs: ["0.0.0.0/0", "::/0"], ports: [${WHOLE}]}
`;
const SERVER = `
import select, socket
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind(('127.0.0.1', ${WHOLE}))
tcp = [socket.create_server(('127.0.0.1', port)) for port in (${PORT}, ${WHOLE})]
tcp += [socket.create_server(('::1', port), family=socket.AF_INET6) for port in (${PORT}, ${WHOLE})]
while True:
    for ready in select.select([udp, *tcp], [], [])[0]:
        if ready is udp: udp.sendto(b'host loopback', udp.recvfrom(99)[1])
        else:
            connection = ready.accept()[0]
            connection.sendall(b'HTTP/1.1 200 OK\\r\\nContent-Length: 13\\r\\n\\r\\nhost loopback')
            connection.close()
`;

const network = useNetwork();
let server: Running | undefined;

beforeAll(async () => {
  if (lackForNetwork() !== undefined) return;
  server = start([...network().host.enter, 'python3', '-c', SERVER]);
  await until('a server on loopback', async () =>
    (await capture([...network().host.enter, 'ss', '-Hltn'])).includes(`[::1]:${WHOLE} `) ? true : undefined,
  );
});
afterAll(() => server?.close());

describe.each(USERS)('as %s', (user) => {
  const box = useBox(network, { user, policy: POLICY });

  it.each(['rebind-loopback.test', '127.0.0.1', '0.0.0.0', 'localhost', 'host.sallyport.internal'])(
    'not by a request for %s to somewhere else',
    async (host) => {
      for (const address of [ADDRESSES.attacker[4], ADDRESSES.attacker[6]]) {
        const request = `GET / HTTP/1.1\\r\\nHost: ${host}:${PORT}\\r\\nConnection: close\\r\\n\\r\\n`;
        const said = await box().python(`print(dial('${address}', ${PORT}, b'${request}'))`);
        expect(said).not.toContain('host loopback');
      }
    },
  );

  it('not by a range that happens to hold the address that stands for it', async () => {
    for (const address of ['192.0.0.1', 'fd73:616c:6c79::1']) {
      expect(await box().python(`print(dial('${address}', ${WHOLE}, b'x\\n\\n'))`)).not.toContain('host loopback');
      expect(await box().python(`print(datagram('${address}', ${WHOLE}, b'x'))`)).not.toContain('host loopback');
    }
  });
});
