/** Cleartext HTTP on the wire: what two readers could understand differently never reaches a real server. */
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { openBox, type Box } from './box.ts';
import { lackForNetwork } from './machine.ts';
import { ADDRESSES, type HttpArrival } from './network.ts';
import { countArrivals, useBox, useNetwork } from './suite.ts';

const HOST = 'Host: four.test\r\n';
const CHUNKED = `${HOST}Transfer-Encoding: chunked\r\n\r\n`;
const NEXT = `GET /no/next HTTP/1.1\r\n${HOST}\r\n`;

interface Case {
  readonly name: string;
  /** As written to the connection; \x00 to \xff are bytes. */
  readonly sent: string;
  /** Status codes in the order in which they came; `fin` or `reset` where the firewall then closes. */
  readonly answered: string;
  /** What the server's log must say of it, and all that it says. */
  readonly arrives: readonly string[];
}

const refuse = (name: string, sent: string, answered = '400 fin'): Case => ({ name, sent, answered, arrives: [] });
const get = (target: string, rest = HOST): string => `GET ${target} HTTP/1.1\r\n${rest}\r\n`;
const post = (rest: string): string => `POST /ok/post HTTP/1.1\r\n${rest}`;

const CASES: readonly Case[] = [
  // where does the body end?
  refuse('Content-Length beside Transfer-Encoding', post(`Content-Length: 6\r\n${CHUNKED}0\r\n\r\n${NEXT}`)),
  refuse('two content lengths', post(`${HOST}Content-Length: 0\r\nContent-Length: 5\r\n\r\n${NEXT}`)),
  refuse('two equal content lengths', post(`${HOST}Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello`)),
  ...['+5', '0x5', '5, 5', '-5', '5 5', '', '99999999999999999999'].map((length) =>
    refuse(`content length “${length}”`, post(`${HOST}Content-Length: ${length}\r\n\r\nhello`)),
  ),
  ...['chunked, identity', 'identity, chunked', 'xchunked', '\x0bchunked', 'chunked\x0b', '"chunked"', ''].map((coding) =>
    refuse(`transfer encoding ${JSON.stringify(coding)}`, post(`${HOST}Transfer-Encoding: ${coding}\r\n\r\n0\r\n\r\n${NEXT}`)),
  ),
  refuse('two transfer encodings', post(`${HOST}Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n`)),
  refuse('transfer encoding in HTTP/1.0', `POST /ok/x HTTP/1.0\r\n${CHUNKED}0\r\n\r\n`),
  { name: 'a chunk size with a letter', sent: post(`${CHUNKED}5x\r\nhello\r\n0\r\n\r\n${NEXT}`), answered: 'reset', arrives: ['POST /ok/post'] },
  { name: 'a bare LF in a chunk extension', sent: post(`${CHUNKED}5;a\nb\r\nhello\r\n0\r\n\r\n${NEXT}`), answered: 'reset', arrives: ['POST /ok/post'] },
  { name: 'a request within the body of another', sent: get('/ok/outer', `${HOST}Content-Length: ${NEXT.length}\r\n`) + NEXT, answered: '200', arrives: ['GET /ok/outer'] },
  { name: 'a request after trailers', sent: post(`${CHUNKED}5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n${NEXT}`), answered: '200 403', arrives: ['POST /ok/post'] },

  // what is a line, what is a field?
  refuse('obs-fold', get('/ok/fold', `${HOST}X: a\r\n Host: denied.test\r\n`)),
  refuse('bare LF', 'GET /ok/lf HTTP/1.1\nHost: four.test\n\n'),
  refuse('bare LF between fields', get('/ok/lf', `X: a\nY: b\r\n${HOST}`)),
  refuse('bare CR', get('/ok/cr', `${HOST}X: a\rY: b\r\n`)),
  refuse('NUL in a value', get('/ok/nul', `${HOST}X: a\x00b\r\n`)),
  refuse('space before the colon', get('/ok/space', `${HOST}Transfer-Encoding : chunked\r\n`)),
  refuse('a line before the request', `\r\n${get('/ok/early')}`),
  refuse('two spaces', `GET  /ok/spaces HTTP/1.1\r\n${HOST}\r\n`),
  refuse('tabs', `GET\t/ok/tab\tHTTP/1.1\r\n${HOST}\r\n`),
  refuse('a method in lower case', `get /ok/lower HTTP/1.1\r\n${HOST}\r\n`),
  refuse('HTTP/2.0', `GET /ok/two HTTP/2.0\r\n${HOST}\r\n`),
  refuse('HTTP/0.9', 'GET /ok/old\r\n'),
  refuse('a head too large', get('/ok/large', `${HOST}X: ${'a'.repeat(100_000)}\r\n`), '431 fin'),

  // which host?
  refuse('two hosts', get('/ok/hosts', `${HOST}Host: denied.test\r\n`)),
  refuse('the same host twice', get('/ok/hosts', HOST + HOST)),
  refuse('no host', get('/ok/none', '')),
  refuse('an empty host', get('/ok/empty', 'Host:\r\n')),
  refuse('a host with user information', get('/ok/user', 'Host: four.test@denied.test\r\n')),
  refuse('a host with user information before', get('/ok/user', 'Host: denied.test:80@four.test\r\n')),
  refuse('a list of hosts', get('/ok/list', 'Host: four.test, denied.test\r\n')),
  refuse('NUL in the host', get('/ok/nul', 'Host: denied.test\x00.four.test\r\n')),
  refuse('a target of another host', get('http://denied.test/ok/absolute')),
  refuse('a host other than the target’s', get('http://four.test/ok/absolute', 'Host: denied.test\r\n')),
  refuse('another port than that of the connection', get('/ok/port', 'Host: four.test:8080\r\n'), '421'),
  refuse('another host', get('/ok/other', 'Host: denied.test\r\n'), '403'),
  { name: 'a target with its host', sent: get('http://four.test/ok/absolute'), answered: '200', arrives: ['GET /ok/absolute'] },
  { name: 'trailing dot', sent: get('/ok/dot', 'Host: four.test.\r\n'), answered: '200', arrives: ['GET /ok/dot'] },
  { name: 'upper case', sent: get('/ok/upper', 'Host: FOUR.TEST:80\r\n'), answered: '200', arrives: ['GET /ok/upper'] },

  // which path?
  ...['/ok/../no', '/ok/%2e%2e/no', '/ok//../no', '/ok/..%2fno', '/ok/%2e%2e%2fno', String.raw`/ok\..\no`, '/ok/..;/no', '/ok/%00', '//ok/no',
    '/ok/../../no', '/ok/./no', '/ok//no', '/ok/%252e%252e/no', '/ok/%zz', '/no', '/', '/okay'].map((path) => refuse(`path ${path}`, get(path), '403')),
  refuse('a target without a slash', get('ok/x')),
  refuse('a fragment in the target', get('/ok/#/no')),
  { name: 'an encoded letter', sent: get('/%6fk/x'), answered: '200', arrives: ['GET /%6fk/x'] },
  { name: 'dots in the query', sent: get('/ok/x?y=/../../no'), answered: '200', arrives: ['GET /ok/x?y=/../../no'] },

  // every request of a connection
  { name: 'pipelined, the second denied', sent: get('/ok/1') + get('/no/2') + get('/ok/3'), answered: '200 403 200', arrives: ['GET /ok/1', 'GET /ok/3'] },
  { name: 'pipelined, the second to another host', sent: get('/ok/1') + get('/ok/2', 'Host: denied.test\r\n') + get('/ok/3'), answered: '200 403 200', arrives: ['GET /ok/1', 'GET /ok/3'] },
  { name: 'pipelined, the second to another allowed host', sent: get('/ok/1') + get('/ok/2', 'Host: sub.test\r\n') + get('/ok/3'), answered: '200 421 200', arrives: ['GET /ok/1', 'GET /ok/3'] },
  { name: 'a request after the last', sent: get('/ok/last', `${HOST}Connection: close\r\n`) + NEXT, answered: '200 fin', arrives: ['GET /ok/last'] },

  // something else than HTTP/1.1 after this
  refuse('CONNECT to another host', 'CONNECT denied.test:443 HTTP/1.1\r\nHost: denied.test:443\r\n\r\n', '403'),
  refuse('CONNECT to an allowed host', 'CONNECT four.test:80 HTTP/1.1\r\nHost: four.test:80\r\n\r\n', '403'),
  refuse('an upgrade to an unknown protocol', get('/ok/up', `${HOST}Connection: Upgrade\r\nUpgrade: foo\r\n`), '403'),
  refuse('HTTP/2 with prior knowledge', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00', 'fin'),
  { name: 'an upgrade to h2c is not offered to the server', answered: '200', arrives: ['GET /ok/h2c'],
    sent: get('/ok/h2c', `${HOST}Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n`) },
  { name: 'a WebSocket that the server declines', answered: '200 403', arrives: ['GET /ok/ws'],
    sent: get('/ok/ws', `${HOST}Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n`) + NEXT },
]; // prettier-ignore

const POLICY = `
default: Deny
allow:
- http: {hosts: [four.test, sub.test], paths: ["/ok/**"]}
- name: reports
  http: {hosts: [six.test], methods: [GET, HEAD]}
`;

const network = useNetwork();
const box = useBox(network, { user: 'user', policy: POLICY });

/** Writes each to a connection of its own, and reads until it closes or nothing comes for half a second. */
const EXCHANGE = `
from concurrent.futures import ThreadPoolExecutor
def exchange(sent):
    got = b''
    with socket.create_connection(('${ADDRESSES.origin[4]}', 80), timeout=4) as s:
        s.sendall(sent.encode('latin1'))
        s.settimeout(0.5)
        try:
            while True:
                some = s.recv(65536)
                if not some: return {'got': got.decode('latin1'), 'end': 'fin'}
                got += some
        except TimeoutError: return {'got': got.decode('latin1'), 'end': ''}
        except ConnectionError: return {'got': got.decode('latin1'), 'end': 'reset'}
print(json.dumps(list(ThreadPoolExecutor(12).map(exchange, json.load(open(sys.argv[1]))))))
`;

interface Exchanged {
  readonly got: string;
  readonly end: string;
}

async function exchange(inside: Box, sent: readonly string[]): Promise<readonly Exchanged[]> {
  const file = join(inside.folder, 'exchange.json');
  writeFileSync(file, JSON.stringify(sent));
  return JSON.parse(await inside.python(EXCHANGE, file)) as readonly Exchanged[];
}

function statusesOf({ got }: Exchanged): string[] {
  return [...got.matchAll(/^HTTP\/1\.1 (\d+)/gm)].map(([, status]) => status ?? '');
}

describe('what could be read in two ways', () => {
  let answers: readonly Exchanged[] = [];
  let arrived: readonly HttpArrival[] = [];
  beforeAll(async () => {
    if (lackForNetwork() !== undefined) return;
    answers = await exchange(box(), CASES.map(({ sent }) => sent)); // prettier-ignore
    arrived = network().http();
  });

  it.each(CASES.map((entry, index) => ({ ...entry, index })))('$name', ({ answered, index }) => {
    const answer = answers[index] ?? { got: '', end: 'no answer' };
    expect([...statusesOf(answer), answer.end].join(' ').trim()).toBe(answered);
  });

  it('exactly what was allowed arrived', () => {
    const targets = arrived.map(({ method, target }) => `${method} ${target}`);
    expect(targets.toSorted()).toEqual(CASES.flatMap(({ arrives }) => arrives).toSorted());
    // an upgrade that the firewall takes away must not be there for the server to accept
    expect(new Set(arrived.map(({ protocol }) => protocol))).toEqual(new Set(['HTTP/1.1']));
  });
});

describe('requests', () => {
  it('are forwarded in whatever pieces they come', async () => {
    const status = await box().python(`
with socket.create_connection(('${ADDRESSES.origin[4]}', 80), timeout=4) as s:
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for byte in b'POST /ok/slow HTTP/1.1\\r\\nHost: four.test\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n5\\r\\nhello\\r\\n0\\r\\n\\r\\n':
        s.send(bytes([byte]))
        time.sleep(0.002)
    print(s.recv(65536).split()[1].decode())
`);
    expect(status).toBe('200');
    expect(network().http()).toContainEqual(expect.objectContaining({ target: '/ok/slow' }));
  });

  it('leave the connection usable when one is denied: the client keeps it', async () => {
    const { stdout } = await box().run(
      `curl -sS -w '%{http_code} %{num_connects}\\n' -o /dev/null http://four.test/ok/1 -o /dev/null --data-binary @/etc/services http://four.test/no/2 -o /dev/null http://four.test/ok/3`,
    );
    expect(stdout).toBe('200 1\n403 0\n200 0\n');
  });

  it('are not sent with a body that nobody may have', async () => {
    const arrived = await countArrivals(network(), `${ADDRESSES.origin[4]} tcp 80`);
    const { stdout } = await box().run(
      `head -c 3000000 /dev/zero | curl -sS -o /dev/null -w '%{http_code}' -T - -H 'Expect:' http://four.test/no/upload`,
    );
    expect(stdout).toBe('403');
    expect(await arrived()).toBe(0);
  });

  it('with a method that the rule does not name are denied, also one in another header', async () => {
    const ask = async (args: string): Promise<string> =>
      (await box().run(`curl -sS -o /dev/null -w '%{http_code}' ${args} http://six.test/report`)).stdout;
    expect(await ask('')).toBe('200');
    expect(await ask('-X DELETE')).toBe('403');
    expect(await ask('-d x=1')).toBe('403');
    expect(await ask("-H 'X-HTTP-Method-Override: DELETE'")).toBe('403');
    expect(network().http().filter(({ target }) => target === '/report')).toHaveLength(1); // prettier-ignore
    await box().record({ verdict: 'denied', class: 'http', operation: { name: 'DELETE', type: 'Delete' } });
  });

  it('that are denied say why, and under which id', async () => {
    const { stdout } = await box().run('curl -sS -i http://four.test/no/why');
    const id = /^Sallyport-Decision: (\S+)/m.exec(stdout)?.[1];
    expect(stdout).toMatch(/^Content-Type: application\/problem\+json/m);
    expect(JSON.parse(stdout.slice(stdout.indexOf('{')))).toMatchObject({
      type: 'urn:sallyport:reason:no-rule',
      status: 403,
      id,
      remedy: expect.stringMatching(/- http: \{hosts: \[.*four\.test/),
    });
    const record = await box().record({ tags: { 'http.path': '/no/why' } });
    expect(record).toMatchObject({ id, verdict: 'denied', class: 'http', operation: { name: 'GET', type: 'Read' } });
  });

  it('come with uploads and answers of any size, unchanged', async () => {
    const { stdout } = await box().run(
      `head -c 5000000 /dev/urandom >big; curl -sS -o /dev/null -w '%{http_code} %{size_upload}' -H 'Expect: 100-continue' -T big http://four.test/ok/big`,
    );
    expect(stdout).toBe('200 5000000');
    const bytes = randomBytes(8_000_000);
    mkdirSync(join(network().folder, 'files'));
    writeFileSync(join(network().folder, 'files', 'big'), bytes);
    const { stdout: sum } = await box().run('curl -sS http://four.test/ok/files/big | sha256sum');
    expect(sum.split(' ')[0]).toBe(createHash('sha256').update(bytes).digest('hex'));
  });

  it('are allowed once the rule of the denial is in the policy', async () => {
    const { remedy = '' } = await box().record({ tags: { 'http.path': '/no/why' } });
    const rule = remedy.split('\n').find((line) => line.startsWith('- '));
    const second = await openBox(network(), { user: 'user', policy: `default: Deny\nallow:\n${rule ?? ''}` });
    const { stdout } = await second.run('curl -sS http://four.test/no/why; curl -sS http://four.test/no/other');
    await second.close();
    expect(stdout).toContain('arrived at four.test GET /no/why');
    expect(stdout).toContain('Denied by egress policy');
  });
});
