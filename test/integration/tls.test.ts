/** TLS without decryption: whose name decides, which address is dialled, and hellos that are not what they should be. */
import { beforeAll, describe, expect, it } from 'vitest';
import type { RecordPart } from './box.ts';
import { lackForNetwork } from './machine.ts';
import { ADDRESSES, ATTACKER_RESOLVER, PORTS } from './network.ts';
import { until } from './processes.ts';
import { countArrivals, useBox, useNetwork } from './suite.ts';

const POLICY = `
default: Deny
allow:
- tls: {hosts: [allowed.test, "*.sub.test", "*.wild.test"], ports: [${PORTS.https}]}
- http: {hosts: [four.test]}
- tcp: {hosts: [shared.test], ports: [${PORTS.banner}]}
`;

/** Builds ClientHellos that no library would, from \`sni\` (a list of names, or of lists of names) and padding. */
const HELLO = `
def extension(kind, body): return struct.pack('>HH', kind, len(body)) + body
def names(*entries):
    list_ = b''.join(b'\\0' + struct.pack('>H', len(n)) + n for n in entries)
    return extension(0, struct.pack('>H', len(list_)) + list_)
GOOD = extension(43, b'\\2\\3\\4') + extension(10, b'\\0\\2\\0\\x1d') + extension(13, b'\\0\\2\\4\\3') + extension(51, b'\\0\\x24\\0\\x1d\\0\\x20' + b'k' * 32)
def hello(extensions, record=16384):
    extensions += GOOD
    body = b'\\3\\3' + b'r' * 32 + b'\\0' + b'\\0\\2\\x13\\1' + b'\\1\\0' + struct.pack('>H', len(extensions)) + extensions
    message = b'\\1' + struct.pack('>I', len(body))[1:] + body
    parts = [message[i:i + record] for i in range(0, len(message), record)]
    return b''.join(b'\\x16\\3\\1' + struct.pack('>H', len(part)) + part for part in parts)
`;

const { origin, attacker } = ADDRESSES;

interface Hello {
  readonly name: string;
  /** A Python expression of bytes. */
  readonly bytes: string;
  readonly fate: 'arrives' | 'denied';
  readonly record?: RecordPart;
}

const arrives = (name: string, bytes: string): Hello => ({ name, bytes, fate: 'arrives' });
const denied = (name: string, bytes: string, reason?: string): Hello => ({
  name,
  bytes,
  fate: 'denied',
  ...(reason !== undefined && { record: { reason } }),
});

const HELLOS: readonly Hello[] = [
  arrives('an allowed name', `hello(names(b'allowed.test'))`),
  arrives('in upper case', `hello(names(b'ALLOWED.Test'))`),
  arrives('with a trailing dot', `hello(names(b'allowed.test.'))`),
  arrives('over records of 7 bytes', `hello(names(b'allowed.test'), record=7)`),
  arrives('over records of 4 bytes', `hello(names(b'allowed.test'), record=4)`),
  arrives('1.8 kB large, as with a post-quantum key share', `hello(names(b'allowed.test') + extension(21, bytes(1700)))`),
  arrives('1.8 kB large, the name last', `hello(extension(21, bytes(1700)) + names(b'allowed.test'), record=500)`),
  arrives('15 kB large', `hello(names(b'allowed.test') + extension(21, bytes(15000)))`),
  arrives('with an encrypted hello in it, or what looks like one', `hello(names(b'allowed.test') + extension(0xfe0d, bytes(100)))`),
  denied('an encrypted hello under a name of no rule', `hello(names(b'denied.test') + extension(0xfe0d, bytes(100)))`),
  denied('40 kB large', `hello(names(b'allowed.test') + extension(21, bytes(40000)))`),
  denied('a name of no rule', `hello(names(b'denied.test'))`, 'no-rule'),
  denied('the apex of a wildcard', `hello(names(b'sub.test'))`),
  denied('two labels deep under a wildcard', `hello(names(b'b.a.sub.test'))`),
  denied('a name that only an http rule has', `hello(names(b'four.test'))`, 'not-inspected'),
  denied('two names in one list', `hello(names(b'allowed.test', b'denied.test'))`, 'ambiguous-name'),
  denied('two lists of names', `hello(names(b'allowed.test') + names(b'denied.test'))`),
  denied('NUL in the name', `hello(names(b'denied.test\\0.sub.test'))`),
  denied('a space after the name', `hello(names(b'allowed.test '))`),
  denied('bytes above ASCII', `hello(names(b'\\xff.sub.test'))`),
  denied('an empty name', `hello(names(b''))`),
  denied('an empty list', `hello(extension(0, b''))`),
  denied('an address as the name', `hello(names(b'${origin[4]}'))`),
  denied('a hello that breaks off within its record', `hello(names(b'allowed.test'))[:5] + b'\\1\\0\\0\\x1c' + bytes(300)`),
  denied('another record between two parts of it', `(lambda h: h[:3] + b'\\0\\5' + h[5:10] + b'\\x15\\3\\1\\0\\2\\1\\0\\x16\\3\\1' + struct.pack('>H', len(h) - 10) + h[10:])(hello(names(b'allowed.test')))`),
  denied('SSL 2', `b'\\x80\\x2e\\1\\3\\1\\0\\x15\\0\\0\\0\\x10' + b'a' * 40`),
]; // prettier-ignore

const SERVER_HELLO = 0x16;
const ALERT_ACCESS_DENIED = '02 31';

const network = useNetwork();
const box = useBox(network, { user: 'user', policy: POLICY });

describe('a hello', () => {
  let answers: readonly string[] = [];
  beforeAll(async () => {
    if (lackForNetwork() !== undefined) return;
    const list = HELLOS.map(({ bytes }) => `lambda: ${bytes}`).join(',\n');
    const said = await box().python(`${HELLO}
for make in [${list}]:
    with socket.create_connection(('${origin[4]}', 443), timeout=4) as s:
        s.sendall(make())
        try: print(s.recv(7).hex(' '))
        except OSError as error: print(type(error).__name__)
`);
    answers = said.split('\n');
  });

  it.each(HELLOS.map((entry, index) => ({ ...entry, index })))('$name: $fate', async ({ fate, index, record }) => {
    const answer = answers[index] ?? '';
    if (fate === 'arrives') expect(Number.parseInt(answer, 16)).toBe(SERVER_HELLO);
    else if (!answer.startsWith('Connection')) expect(answer.endsWith(ALERT_ACCESS_DENIED), answer).toBe(true);
    if (record !== undefined) await box().record({ verdict: 'denied', ...record });
  });

  it('without a name is denied, but to the address of an allowed name', async () => {
    const arrived = await countArrivals(network(), `${attacker[4]} tcp 443`);
    const alert = await box().python(`${HELLO}\nprint(dial('${attacker[4]}', 443, hello(b'')))`);
    expect(alert).toContain(String.raw`\x021`);
    await box().record({ verdict: 'denied', class: 'tls', destination: { address: attacker[4], port: 443 } });
    const hello = await box().python(`${HELLO}\nprint(dial('${origin[4]}', 443, hello(b'')))`);
    expect(hello).toContain(String.raw`ok b'\x16`);
    expect(await arrived()).toBe(0);
  });

  it('to another port than the rule’s is denied', async () => {
    const before = network().echo().length;
    await box().python(`${HELLO}\nprint(dial('${origin[4]}', ${PORTS.echo}, hello(names(b'allowed.test'))))`);
    await box().record({ verdict: 'denied', class: 'tls', destination: { port: PORTS.echo } });
    expect(network().echo()).toHaveLength(before);
  });

  it('that never comes to its end is denied, as is silence; nothing arrives', async () => {
    await box().forget();
    const arrived = await countArrivals(network(), `${origin[6]} tcp`);
    // an address that no name is bound to yet: a rule could still allow it by what is said
    const said = await box().python(`${HELLO}
def wait(port, first):
    s = socket.create_connection(('${origin[6]}', port), timeout=14)
    s.send(first)
    return s
begun = time.time()
sockets = [wait(443, hello(names(b'allowed.test'))[:60]), wait(443, b''), wait(80, b'GET /ok HTTP/1.1\\r\\nHost: fo'), wait(9000, b'')]
for s in sockets:
    print(attempt(lambda: s.recv(100)))
print(round(time.time() - begun))
`);
    const lines = said.split('\n');
    expect(Number(lines.pop())).toBeLessThan(13);
    for (const line of lines) expect(line).toMatch(/^(ECONNRESET|ok b''|ok b'\\x15|ok b'HTTP)/);
    const denials = (): number => box().records().filter(({ verdict }) => verdict === 'denied').length; // prettier-ignore
    await until('four denials', () => (denials() === 4 ? true : undefined));
    expect(await arrived()).toBe(0);
  });
});

describe('the address', () => {
  const ask = (to: string, url: string): string =>
    `curl -sS --cacert ${network().certificates.authority} --connect-to '::${to.includes(':') ? `[${to}]` : to}:' ${url}`;

  it.each([4, 6] as const)('of an attacker under an allowed name: IPv%s goes to the name’s own', async (family) => {
    const arrived = await countArrivals(network(), `${attacker[family]} tcp 443`);
    const { stdout, stderr } = await box().run(ask(attacker[family], `https://allowed.test/tls/${family}`));
    expect(stderr).toBe('');
    expect(stdout).toContain(`GET /tls/${family}`);
    expect(network().http()).toContainEqual(
      expect.objectContaining({ target: `/tls/${family}`, address: origin[family], serverName: 'allowed.test' }),
    );
    await box().record({ verdict: 'allowed', destination: { address: origin[family], requestedName: 'allowed.test' } });
    expect(await arrived()).toBe(0);
  });

  it('that an attacker’s own resolver gives for an allowed name is never learnt', async () => {
    const { stdout } = await box().run(`dig +short @${ATTACKER_RESOLVER} allowed.test A`);
    expect(stdout.trim()).toBe(origin[4]);
    expect(network().attackerQueries()).toEqual([]);
  });

  it('of an allowed name does not serve another name', async () => {
    const before = network().http().length;
    const { status } = await box().run(ask(origin[4], 'https://denied.test/tls/other'));
    expect(status).not.toBe(0);
    await box().record({ verdict: 'denied', class: 'tls', destination: { requestedName: 'denied.test' } });
    expect(network().http()).toHaveLength(before);
  });
});

it('the certificate that the client sees is the server’s own', async () => {
  const fingerprint = 'openssl x509 -noout -fingerprint -sha256';
  const { stdout } = await box().run(
    `openssl s_client -connect ${origin[4]}:443 -servername allowed.test </dev/null 2>&1 | ${fingerprint}; ${fingerprint} -in ${network().certificates.certificate}`,
  );
  const [seen, real] = stdout.trim().split('\n');
  expect(seen).toBe(real);
});

it('a client certificate and HTTP/2 pass, as nothing is decrypted', async () => {
  const { authority, certificate, key } = network().certificates;
  const { stdout } = await box().run(
    `curl -sS --http2 --cacert ${authority} --cert ${certificate} --key ${key} -w '%{http_version}' https://a.sub.test/h2`,
  );
  expect(stdout).toMatch(/GET \/h2\n2$/);
});

it('a server that speaks first is heard where a rule allows its address', async () => {
  await box().run('getent ahosts shared.test');
  expect(await box().python(`print(dial('${origin[4]}', ${PORTS.banner}))`)).toBe(String.raw`ok b'220 ready\r\n'`);
});

it('a name that would break a line of the records does not', async () => {
  const name = String.raw`denied.test\r\n{"verdict":"allowed"}\r\n`;
  await box().python(`${HELLO}\nprint(dial('${origin[4]}', 443, hello(names(b'${name}'))))`);
  await box().forget();
  await box().run('getent hosts after.test');
  // each line is parsed: one that is no record throws
  await box().record({ verdict: 'denied', tags: { 'dns.name': 'after.test' } });
});
