/** HTTP/1: conversations however they arrive, ways to smuggle a request past its judge, and a second reader's opinion. */
import { once } from 'node:events';
import http from 'node:http';
import { Duplex } from 'node:stream';
import { describe, expect, it } from 'vitest';
import type { Act } from '../../src/engine/protocols/codec.ts';
import { CLEARTEXT_HTTP2 } from '../../src/engine/protocols/http/cleartext-http2.ts';
import { HTTP1 } from '../../src/engine/protocols/http/session.ts';
import {
  createRandom,
  describeConformance,
  FUZZ_ITERATIONS,
  mutate,
  play,
  type Conversation,
  type Decide,
  type Outcome,
} from './harness.ts';

/** One allowed host, in it all but /denied, GET, POST and HEAD; what cannot be told is denied. */
function decide(act: Act): ReturnType<Decide> {
  if (act.doubt !== undefined) return 'deny';
  if (act.requestedName === 'other.test') return 'misdirected';
  const path = act.tags['http.path'];
  if (act.requestedName !== 'allowed.test' || path === undefined || path.startsWith('/denied')) return 'deny';
  return act.tags['http.method'] === undefined || act.tags['http.method'] === 'DELETE' ? 'deny' : 'allow';
}

/** As `decide`, where an address rule lets anything through. */
function decideByAddress(act: Act): ReturnType<Decide> {
  return act.doubt !== undefined ? 'allow' : decide(act);
}

/** A naive server: answers each complete request with its own first line, and hangs up on what it does not understand. */
function server(received: Buffer): Buffer {
  let text = received.toString('latin1');
  let said = '';
  for (;;) {
    const head = /^([A-Z0-9_-]+) (\S+) HTTP\/1\.[01]\r\n(?:[^\r\n]+\r\n)*\r\n/.exec(text);
    if (head === null) return Buffer.from(said, 'latin1');
    const length = /\r\ncontent-length: *(\d+)/i.exec(head[0])?.[1];
    const isChunked = /\r\ntransfer-encoding: *chunked/i.test(head[0]);
    text = text.slice(head[0].length);
    const bodyLength = isChunked ? lengthOfChunks(text) : Number(length ?? 0);
    if (bodyLength === undefined || bodyLength > text.length) return Buffer.from(said, 'latin1');
    text = text.slice(bodyLength);
    if (/\r\nupgrade: *websocket/i.test(head[0])) {
      if (head[2] === '/socket')
        return Buffer.from(`${said}HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n`, 'latin1');
      said += 'HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n';
      continue;
    }
    if (head[2] === '/continue') said += 'HTTP/1.1 100 Continue\r\n\r\n';
    const echo = `${head[1] ?? ''} ${head[2] ?? ''}\n`;
    if (head[1] === 'HEAD') said += `HTTP/1.1 200 OK\r\nContent-Length: ${echo.length}\r\n\r\n`;
    else if (head[2] === '/chunks')
      said += `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${echo.length.toString(16)}\r\n${echo}\r\n0\r\n\r\n`;
    else if (head[2] === '/none') said += 'HTTP/1.1 204 No Content\r\n\r\n';
    else said += `HTTP/1.1 200 OK\r\nContent-Length: ${echo.length}\r\n\r\n${echo}`;
  }
}

function lengthOfChunks(text: string): number | undefined {
  let at = 0;
  for (;;) {
    const size = /^([0-9a-f]+)(?:;[^\r]*)?\r\n/i.exec(text.slice(at));
    if (size === null) return undefined;
    at += size[0].length;
    if (Number.parseInt(size[1] ?? '', 16) === 0) break;
    at += Number.parseInt(size[1] ?? '', 16) + 2;
  }
  const trailers = /^(?:[^\r\n]+\r\n)*\r\n/.exec(text.slice(at));
  return trailers === null ? undefined : at + trailers[0].length;
}

const HOST = 'Host: allowed.test\r\n';
const GET = `GET /a HTTP/1.1\r\n${HOST}\r\n`;
const DENIED = `GET /denied HTTP/1.1\r\n${HOST}\r\n`;
const POST = `POST /form HTTP/1.1\r\n${HOST}Content-Length: 11\r\n\r\nhello=world`;
const CHUNKED = `POST /up HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1a;x=y\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\nX-Sum: 1\r\n\r\n`;
/** A request inside another's body, which must never be taken for one. */
const INNER = `GET /denied/inner HTTP/1.1\r\n${HOST}\r\n`;

const line = (method: string, target: string, version = 'HTTP/1.1'): string =>
  `${method} ${target} ${version}\r\n${HOST}\r\n`;
const field = (text: string): string => `GET /a HTTP/1.1\r\n${HOST}${text}\r\n\r\n`;
const host = (text: string): string => `GET /a HTTP/1.1\r\nHost: ${text}\r\n\r\n`;
const body = (fields: string, text: string): string => `POST /a HTTP/1.1\r\n${HOST}${fields}\r\n\r\n${text}`;
const chunks = (text: string): string => body('Transfer-Encoding: chunked', text);

function conversation(name: string, text: string, by: Decide = decide): Conversation {
  return { name, input: Buffer.from(text, 'latin1'), decide: by, server };
}

const CONVERSATIONS: readonly Conversation[] = [
  conversation('one request', GET),
  conversation('one denied request', DENIED),
  conversation('three requests at once', GET + GET + GET),
  conversation('a denied request between two', GET + DENIED + GET),
  conversation('denied, allowed, denied', DENIED + GET + DENIED),
  conversation('a body', POST + GET),
  conversation('a denied body', POST.replace('/form', '/denied') + GET),
  conversation(
    'a denied body between two',
    POST + POST.replace('/form', '/denied') + CHUNKED.replace('/up', '/denied') + GET,
  ),
  conversation('chunks', CHUNKED + GET),
  conversation('denied chunks', CHUNKED.replace('/up', '/denied') + GET),
  conversation(
    'requests in a body',
    `POST /form HTTP/1.1\r\n${HOST}Content-Length: ${INNER.length}\r\n\r\n${INNER}${GET}`,
  ),
  conversation('HEAD', `HEAD /a HTTP/1.1\r\n${HOST}\r\n${DENIED}HEAD /denied HTTP/1.1\r\n${HOST}\r\n${GET}`),
  conversation(
    'answers of all kinds',
    ['/chunks', '/none', '/continue', '/a'].map((path) => GET.replace('/a', path) + DENIED).join(''),
  ),
  conversation('close', GET.replace(HOST, `${HOST}Connection: close\r\n`) + GET),
  conversation('denied with close', DENIED.replace(HOST, `${HOST}Connection: close\r\n`) + GET),
  conversation('HTTP/1.0', GET.replace('1.1', '1.0') + GET),
  conversation('HTTP/1.0 kept alive', `GET /a HTTP/1.0\r\n${HOST}Connection: keep-alive\r\n\r\n${DENIED}`),
  conversation(
    'a WebSocket',
    `GET /socket HTTP/1.1\r\n${HOST}Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x02hi`,
  ),
  conversation(
    'a WebSocket that the server refuses',
    `GET /no HTTP/1.1\r\n${HOST}Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n${DENIED}${GET}`,
  ),
  conversation(
    'a denied WebSocket',
    `GET /denied HTTP/1.1\r\n${HOST}Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n${GET}`,
  ),
  conversation(
    'an upgrade to HTTP/2 not taken',
    `${GET.replace(HOST, `${HOST}Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n`)}${GET}`,
  ),
  conversation('an unknown upgrade', `GET /a HTTP/1.1\r\n${HOST}Connection: Upgrade\r\nUpgrade: other\r\n\r\n${GET}`),
  conversation(
    'an unknown upgrade that an address rule allows',
    `${GET}${DENIED}GET /a HTTP/1.1\r\n${HOST}Upgrade: other\r\n\r\n${DENIED}`,
    decideByAddress,
  ),
  conversation('CONNECT', `${GET}CONNECT x.test:443 HTTP/1.1\r\nHost: x.test:443\r\n\r\n${GET}`),
  conversation(
    'CONNECT that an address rule allows',
    `${GET}CONNECT x.test:443 HTTP/1.1\r\nHost: x.test:443\r\n\r\nanything`,
    decideByAddress,
  ),
  conversation(
    'an expectation',
    `POST /continue HTTP/1.1\r\n${HOST}Expect: 100-continue\r\nContent-Length: 2\r\n\r\nhi${GET}`,
  ),
  conversation(
    'a denied expectation',
    `POST /denied HTTP/1.1\r\n${HOST}Expect: 100-continue\r\nContent-Length: 2\r\n\r\nhi${GET}`,
  ),
  conversation('another name later', GET + GET.replace('allowed.test', 'other.test') + GET),
  conversation('unreadable after two', `${GET}${DENIED}GET / HTTP/1.1\nHost: allowed.test\n\n${GET}`),
  conversation(
    'unreadable, and an address rule',
    `${GET}${DENIED}GET / HTTP/1.1\nHost: allowed.test\n\n${DENIED}`,
    decideByAddress,
  ),
  conversation('an unreadable chunk', `${GET}${CHUNKED.replace('1a;', '1g;')}${GET}`),
  conversation(
    'an unreadable chunk, and an address rule',
    `${GET}${DENIED}${CHUNKED.replace('1a;', '1g;')}${DENIED}`,
    decideByAddress,
  ),
  conversation(
    'an unreadable chunk of a denied request',
    `${DENIED}${CHUNKED.replace('/up', '/denied').replace('1a;', '1g;')}${GET}`,
    decideByAddress,
  ),
  conversation('more requests at once than are read', (GET + DENIED).repeat(100)),
];

const LONG = 'x'.repeat(80_000);
const BOUNDED: readonly Conversation[] = [
  conversation('an endless target', `GET /${LONG}`),
  conversation('an endless field name', `GET / HTTP/1.1\r\n${LONG}`),
  conversation('an endless value', `GET / HTTP/1.1\r\nX: ${LONG}`),
  conversation('endless fields', `GET / HTTP/1.1\r\n${'X: y\r\n'.repeat(20_000)}`),
  conversation(
    'a head one byte too long',
    `GET / HTTP/1.1\r\n${HOST}X: ${'x'.repeat(64 * 1024 - HOST.length - 23)}y\r\n\r\n`,
  ),
];

describeConformance(HTTP1, CONVERSATIONS, BOUNDED);

describe('nothing of a denied request leaves', () => {
  it.each([
    ['its head', GET + DENIED + GET, GET + GET],
    ['its body', POST + POST.replace('/form', '/denied') + GET, POST + GET],
    ['its chunks', CHUNKED + CHUNKED.replace('/up', '/denied') + GET, CHUNKED + GET],
    [
      'requests in its body',
      GET + POST.replace('/form', '/denied').replace('11', String(GET.length + 11)) + GET + GET,
      GET + GET,
    ],
  ])('%s', (_name, text, upstream) => {
    expect(outcome(text)).toMatchObject({ upstream, ending: 'open' });
  });

  it('nor of one whose client asked first, whether it sends the body or not: the connection ends', () => {
    const denied = outcome(`POST /denied HTTP/1.1\r\n${HOST}Expect: 100-continue\r\nContent-Length: 2\r\n\r\n`);
    expect(denied).toMatchObject({ upstream: '', ending: 'closed' });
    expect(denied.downstream).toMatch(/^HTTP\/1.1 403 [^]*\r\nConnection: close\r\n/);
  });
});

describe('an act', () => {
  it.each([
    ['its method and path', GET, 'http allowed.test GET /a allow'],
    ['a query', GET.replace('/a', '/a?b=c'), 'http allowed.test GET /a?b=c allow'],
    ['no operation where a field overrides it', field('X-HTTP-Method: PUT'), 'http allowed.test - /a deny'],
    ['no path where a field overrides it', field('X-Original-URL: /b'), 'http allowed.test GET - deny'],
    ['no path where servers read it in two ways', line('GET', '/a//b'), 'http allowed.test GET - deny'],
    ['a WebSocket', field('Upgrade: WebSocket'), 'websocket allowed.test GET /a allow'],
    ['a method of its own', line('PURGE', '/a'), 'http allowed.test PURGE /a allow'],
    ['a server as a whole', line('OPTIONS', '*'), 'http allowed.test OPTIONS - deny'],
    ['a request without a host', 'GET /a HTTP/1.0\r\n\r\n', 'http - GET /a deny'],
    ['a tunnel', 'CONNECT a.test:1 HTTP/1.1\r\nHost: a.test:1\r\n\r\n', 'tcp - (tunnel) deny'],
  ])('tells %s', (_name, text, act) => {
    expect(outcome(text).acts).toEqual([act]);
  });
});

describe('answers keep their order', () => {
  it('with denials among them', () => {
    const { downstream } = outcome(GET + DENIED + POST + DENIED);
    expect(downstream.match(/HTTP\/1.1 \d+|(GET|POST) \S+/g)).toEqual([
      'HTTP/1.1 200',
      'GET /a',
      'HTTP/1.1 403',
      'HTTP/1.1 200',
      'POST /form',
      'HTTP/1.1 403',
    ]);
  });

  it('while what was pipelined leaves in as few writes as it came in, around what is denied', () => {
    expect(outcome(GET + POST + CHUNKED + GET).writes).toBe(1);
    expect(outcome(GET + POST + DENIED + CHUNKED + GET).writes).toBe(2);
  });
});

function outcome(text: string, by: Decide = decide): Outcome {
  const input = Buffer.from(text, 'latin1');
  return play(HTTP1, { name: text, input, decide: by, server }, { pieces: [input] });
}

/** `passes`: goes upstream as it came. A status: refused with it, and the request after it judged on its own or not at all. */
type Expected = 'passes' | 400 | 403 | 421 | 431 | 'reset';

const SMUGGLING: readonly (readonly [name: string, text: string, expected: Expected])[] = [
  // two framings
  ['length and chunks', body('Content-Length: 4\r\nTransfer-Encoding: chunked', '0\r\n\r\n'), 400],
  ['chunks and length', body('Transfer-Encoding: chunked\r\nContent-Length: 4', '0\r\n\r\n'), 400],
  ['two lengths that differ', body('Content-Length: 5\r\nContent-Length: 6', 'hello'), 400],
  ['two lengths alike', body('Content-Length: 5\r\nContent-Length: 5', 'hello'), 400],
  ['a list of lengths', body('Content-Length: 5, 5', 'hello'), 400],
  ['a length with a sign', body('Content-Length: +5', 'hello'), 400],
  ['a negative length', body('Content-Length: -5', 'hello'), 400],
  ['a length in hex', body('Content-Length: 0x5', 'hello'), 400],
  ['a length with a leading zero', body('Content-Length: 05', 'hello'), 400],
  ['a length with a point', body('Content-Length: 5.0', 'hello'), 400],
  ['an empty length', body('Content-Length:', ''), 400],
  ['a length beyond all numbers', body('Content-Length: 99999999999999999999', 'hello'), 400],
  ['a length with a blank after it', body('Content-Length: 5 ', 'hello'), 400],
  ['a length with a tab before it', body('Content-Length:\t5', 'hello'), 400],
  ['a length with an underscore', body('Content_Length: 5', 'hello'), 400],
  ['another coding', body('Transfer-Encoding: gzip', 'hello'), 400],
  ['two codings', body('Transfer-Encoding: gzip, chunked', '0\r\n\r\n'), 400],
  ['chunked twice', body('Transfer-Encoding: chunked, chunked', '0\r\n\r\n'), 400],
  ['chunked in two fields', body('Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked', '0\r\n\r\n'), 400],
  ['identity', body('Transfer-Encoding: identity', 'hello'), 400],
  ['chunked in upper case', body('Transfer-Encoding: CHUNKED', '0\r\n\r\n'), 400],
  ['chunked with a prefix', body('Transfer-Encoding: xchunked', '0\r\n\r\n'), 400],
  ['chunked in quotes', body('Transfer-Encoding: "chunked"', '0\r\n\r\n'), 400],
  ['chunked with a parameter', body('Transfer-Encoding: chunked;q=1', '0\r\n\r\n'), 400],
  ['chunked with a vertical tab', body('Transfer-Encoding: \x0bchunked', '0\r\n\r\n'), 400],
  ['chunked with a blank after it', body('Transfer-Encoding: chunked ', '0\r\n\r\n'), 400],
  ['chunked with a tab before it', body('Transfer-Encoding:\tchunked', '0\r\n\r\n'), 400],
  ['chunked on a folded line', body('Transfer-Encoding:\r\n chunked', '0\r\n\r\n'), 400],
  ['a coding with an underscore', body('Transfer_Encoding: chunked', '0\r\n\r\n'), 400],
  ['a blank before the colon', body('Transfer-Encoding : chunked', '0\r\n\r\n'), 400],
  ['a coding in HTTP/1.0', chunks('0\r\n\r\n').replace('HTTP/1.1', 'HTTP/1.0'), 400],
  ['framing declared hop-by-hop', body('Connection: keep-alive, Content-Length\r\nContent-Length: 5', 'hello'), 400],
  ['Host declared hop-by-hop', field('Connection: host'), 400],
  ['an expectation of something else', body('Expect: 200-ok\r\nContent-Length: 5', 'hello'), 400],
  ['two expectations', body('Expect: 100-continue\r\nExpect: 100-continue\r\nContent-Length: 5', 'hello'), 400],
  // chunks
  ['a size with a sign', chunks('+5\r\nhello\r\n0\r\n\r\n'), 'reset'],
  ['a size with 0x', chunks('0x5\r\nhello\r\n0\r\n\r\n'), 'reset'],
  ['a size with a blank', chunks('5 \r\nhello\r\n0\r\n\r\n'), 'reset'],
  ['a size that overflows', chunks('10000000000000005\r\nhello\r\n0\r\n\r\n'), 'reset'],
  ['no size', chunks('\r\nhello\r\n0\r\n\r\n'), 'reset'],
  ['a size ended by LF', chunks('5\nhello\r\n0\r\n\r\n'), 'reset'],
  ['a size ended by CR alone', chunks('5\rhello\r\n0\r\n\r\n'), 'reset'],
  ['data ended by LF', chunks('5\r\nhello\n0\r\n\r\n'), 'reset'],
  ['data longer than its size', chunks('5\r\nhello!\r\n0\r\n\r\n'), 'reset'],
  ['an LF in an extension', chunks(`5;a\nhello\r\n0\r\n\r\n${INNER}`), 'reset'],
  ['a NUL in an extension', chunks('5;\0\r\nhello\r\n0\r\n\r\n'), 'reset'],
  ['an endless extension', chunks(`5;${LONG}\r\nhello\r\n0\r\n\r\n`), 'reset'],
  ['a trailer that frames', chunks('0\r\nContent-Length: 5\r\n\r\n'), 'reset'],
  ['a trailer that routes', chunks('0\r\nHost: denied.test\r\n\r\n'), 'reset'],
  ['a trailer with an underscore', chunks('0\r\nTransfer_Encoding: chunked\r\n\r\n'), 'reset'],
  ['a folded trailer', chunks('0\r\nX: 1\r\n 2\r\n\r\n'), 'reset'],
  ['a trailer without a colon', chunks('0\r\nX\r\n\r\n'), 'reset'],
  ['an end without its last line', chunks(`0\r\n${GET}`), 'reset'],
  ['proper chunks', chunks('05\r\nhello\r\n000\r\n\r\n'), 'passes'],
  // lines
  ['lines ended by LF', GET.replaceAll('\r\n', '\n'), 400],
  ['an end ended by LF', `GET /a HTTP/1.1\r\n${HOST}\n`, 400],
  ['a bare CR in a value', field('X: a\rY: b'), 400],
  ['a bare CR in a value, before what reads as a field', field('X: a\rYZ: b'), 400],
  ['a bare LF in a value', field('X: a\nTransfer-Encoding: chunked'), 400],
  ['a NUL in a value', field('X: a\0b'), 400],
  ['a NUL in a name', field('X\0: a'), 400],
  ['a folded value', field('X: a\r\n b'), 400],
  ['a field without a name', field(': a'), 400],
  ['a line without a colon', field('X'), 400],
  ['a first field that begins with a blank', `GET /a HTTP/1.1\r\n ${HOST}\r\n`, 400],
  ['an empty line before', `\r\n${GET}`, 400],
  // the request line
  ['two blanks', `GET  /a HTTP/1.1\r\n${HOST}\r\n`, 400],
  ['a tab', `GET\t/a HTTP/1.1\r\n${HOST}\r\n`, 400],
  ['a blank in the target', line('GET', '/a b'), 400],
  ['a blank before the line', ` ${GET}`, 400],
  ['a method in lower case', line('get', '/a'), 400],
  ['no version', `GET /a\r\n${HOST}\r\n`, 400],
  ['version 0.9', line('GET', '/a', 'HTTP/0.9'), 400],
  ['version 1.2', line('GET', '/a', 'HTTP/1.2'), 400],
  ['version 2.0', line('GET', '/a', 'HTTP/2.0'), 400],
  ['a version in lower case', line('GET', '/a', 'http/1.1'), 400],
  ['a fragment', line('GET', '/a#/denied'), 400],
  ['a NUL in the target', line('GET', '/a\0'), 400],
  ['bytes beyond ASCII in the target', line('GET', '/\xc3\xa9'), 400],
  ['a target without a slash', line('GET', 'a'), 400],
  ['an asterisk for GET', line('GET', '*'), 400],
  ['a method too long', line('G'.repeat(33), '/a'), 400],
  // paths that servers read in two ways
  ['dot segments', line('GET', '/a/../denied'), 403],
  ['encoded dot segments', line('GET', '/a/%2e%2e/denied'), 403],
  ['an encoded slash', line('GET', '/a%2fdenied'), 403],
  ['two slashes', line('GET', '//denied'), 403],
  ['a backslash', line('GET', '/a\\..\\denied'), 403],
  ['encoded twice', line('GET', '/%2564enied'), 403],
  ['encoded letters', line('GET', '/%64enied'), 403],
  // hosts
  ['no host', 'GET /a HTTP/1.1\r\n\r\n', 400],
  ['an empty host', host(''), 400],
  ['two hosts', `GET /a HTTP/1.1\r\n${HOST}Host: denied.test\r\n\r\n`, 400],
  ['two hosts alike', `GET /a HTTP/1.1\r\n${HOST}${HOST}\r\n`, 400],
  ['a host with a blank', host('allowed.test denied.test'), 400],
  ['a host with a blank after it', host('allowed.test '), 400],
  ['a host with a tab', `GET /a HTTP/1.1\r\nHost:\tallowed.test\r\n\r\n`, 400],
  ['a list of hosts', host('allowed.test, denied.test'), 400],
  ['a host with userinfo', host('allowed.test@denied.test'), 400],
  ['a host with a path', host('allowed.test/denied'), 400],
  ['a host with a NUL', host('allowed.test\0.denied.test'), 400],
  ['a host with a percent sign', host('allowed%2etest'), 400],
  ['a host beyond ASCII', host('\xe4llowed.test'), 400],
  ['a host in octal', host('0306.022.0.1'), 400],
  ['a short address', host('127.1'), 400],
  ['a host with brackets', host('[allowed.test]'), 400],
  ['a host with two ports', host('allowed.test:80:81'), 400],
  ['a host with a port of letters', host('allowed.test:http'), 400],
  ['a host with a port beyond all', host('allowed.test:65616'), 400],
  ['another port', host('allowed.test:8080'), 421],
  ['another host', host('denied.test'), 403],
  ['another allowed host', host('other.test'), 421],
  ['its own port', host('allowed.test:80'), 'passes'],
  ['upper case and a trailing dot', host('ALLOWED.test.'), 'passes'],
  ['absolute form against Host', line('GET', 'http://denied.test/a'), 400],
  ['absolute form against a host as long', line('GET', 'http://alloweb.test/a'), 400],
  ['absolute form against the port', line('GET', 'http://allowed.test:81/a'), 400],
  ['absolute form with userinfo', line('GET', 'http://x@allowed.test/a'), 400],
  ['absolute form of another scheme', line('GET', 'https://allowed.test/a'), 400],
  ['absolute form without a host', line('GET', 'http:///a'), 400],
  ['absolute form', line('GET', 'http://allowed.test/a'), 'passes'],
  ['absolute form to the denied', line('GET', 'http://allowed.test/denied'), 403],
  ['HTTP/1.0 without a host', 'GET /a HTTP/1.0\r\n\r\n', 403],
  // what a server could take for another request
  ['a method override', body('X-HTTP-Method-Override: DELETE\r\nContent-Length: 0', ''), 403],
  ['a method override by another name', body('X-Method-Override: DELETE\r\nContent-Length: 0', ''), 403],
  ['a method override by a third', body('X-HTTP-Method: DELETE\r\nContent-Length: 0', ''), 403],
  ['a method override with underscores', body('X_HTTP_Method_Override: DELETE\r\nContent-Length: 0', ''), 403],
  ['a method override to the same', body('X-HTTP-Method-Override: POST\r\nContent-Length: 0', ''), 'passes'],
  ['another path in a field', field('X-Original-URL: /denied'), 403],
  ['another path in another field', field('X-Rewrite-URL: /denied'), 403],
  // tunnels
  ['CONNECT', 'CONNECT denied.test:443 HTTP/1.1\r\nHost: denied.test:443\r\n\r\n', 403],
  ['CONNECT with a body', 'CONNECT x.test:443 HTTP/1.1\r\nHost: x.test:443\r\nContent-Length: 5\r\n\r\nhello', 400],
  ['CONNECT without a port', 'CONNECT x.test HTTP/1.1\r\nHost: x.test\r\n\r\n', 400],
  ['CONNECT against Host', 'CONNECT x.test:443 HTTP/1.1\r\nHost: allowed.test\r\n\r\n', 400],
  ['an upgrade to TLS', field('Connection: upgrade\r\nUpgrade: TLS/1.0'), 403],
  ['an upgrade to two protocols', field('Upgrade: websocket, h2c'), 403],
  ['two upgrades', field('Upgrade: h2c\r\nUpgrade: websocket'), 403],
  ['an upgrade that no Connection names', field('Upgrade: other'), 403],
  ['a WebSocket with a body', field('Upgrade: websocket\r\nContent-Length: 5'), 400],
  ['a WebSocket by POST', `POST /a HTTP/1.1\r\n${HOST}Upgrade: websocket\r\n\r\n`, 403],
  // sizes
  ['too many fields', field(Array.from({ length: 100 }, (_, index) => `X-${index}: y`).join('\r\n')), 431],
  ['many fields', field(Array.from({ length: 99 }, (_, index) => `X-${index}: y`).join('\r\n')), 'passes'],
  ['too large', field(`X: ${LONG}`), 431],
];

describe('smuggling', () => {
  it.each(SMUGGLING)('%s', (_name, text, expected) => {
    const followed = outcome(text + GET);
    const status = /^HTTP\/1.1 (\d+)/.exec(followed.downstream)?.[1];
    switch (expected) {
      case 'passes':
        expect(followed.upstream).toBe(text + GET);
        expect(status).toBe('200');
        break;
      case 'reset':
        expect(followed.ending).toBe('reset');
        expect(followed.acts.at(-1)).toBe('tcp - (malformed) deny');
        // what went before the byte that cannot be, and nothing after it
        expect(text.startsWith(followed.upstream)).toBe(true);
        break;
      case 403:
      case 421:
        expect(status).toBe(String(expected));
        // the connection stays usable
        expect(followed.upstream).toBe(text.includes('HTTP/1.0') ? '' : GET);
        break;
      case 400:
      case 431:
        expect(followed).toMatchObject({ ending: 'closed', upstream: '' });
        expect(status).toBe(String(expected));
        expect(followed.acts).toEqual([`tcp - (${expected === 400 ? 'malformed' : 'too-large'}) deny`]);
        break;
      default:
        expected satisfies never;
    }
    // after an allowed request it comes to the same
    const preceded = outcome(GET + text + GET);
    expect(preceded.upstream).toBe(GET + followed.upstream);
  });
});

describe('a second reader', () => {
  const all = [
    ...SMUGGLING.map(([name, text]) => [name, text + GET] as const),
    ...CONVERSATIONS.map(({ name, input }) => [name, input.toString('latin1')] as const),
  ];
  // Node's server stops reading HTTP at an upgrade, whatever it answers
  const inputs = all.filter(([, text]) => !text.includes('Upgrade: websocket'));
  it.each(inputs)('finds in what was sent just the requests that were allowed: %s', async (_name, text) => {
    const { upstream, acts } = outcome(text);
    const allowed = acts.filter((act) => act.endsWith(' allow')).map((act) => act.split(' ').slice(2, 4).join(' '));
    const found = await requestsIn(upstream);
    // the last may be cut off in its body
    expect(allowed).toEqual(found);
  });
});

describe('a second reader of garbage', () => {
  it('never finds another request than those that were allowed', { timeout: 5000 + FUZZ_ITERATIONS * 10 }, async () => {
    const random = createRandom(0xc0ffee);
    const all = [
      ...SMUGGLING.map(([, text]) => Buffer.from(text + INNER, 'latin1')),
      ...CONVERSATIONS.map(({ input }) => input),
    ];
    const seeds = all.filter((bytes) => bytes.length < 2000);
    const decideAllButWhole: Decide = (act) => (act.doubt === undefined && act.class === 'http' ? 'allow' : 'deny');
    for (let iteration = 0; iteration < FUZZ_ITERATIONS; iteration += 1) {
      const input = mutate(seeds[random(seeds.length)] ?? Buffer.from(GET), random);
      const { upstream, acts } = outcome(input.toString('latin1'), decideAllButWhole);
      const allowed = acts.filter((act) => act.endsWith(' allow')).map((act) => act.split(' ')[2] ?? '');
      const found = (await requestsIn(upstream)).map((request) => request.split(' ')[0] ?? '');
      found.forEach((method, index) => {
        // a method that a field overrides is not told
        if (allowed[index] === '-') allowed[index] = method;
      });
      expect(found, JSON.stringify(input.toString('latin1'))).toEqual(allowed.slice(0, found.length));
    }
  });
});

/** `METHOD PATH` of every request that Node's own HTTP server finds in these bytes. */
async function requestsIn(bytes: string): Promise<readonly string[]> {
  const found: string[] = [];
  const note = (request: http.IncomingMessage): void => {
    const url = new URL(request.url ?? '', 'http://allowed.test');
    found.push(`${request.method ?? ''} ${url.pathname}${url.search}`);
  };
  const reader = http.createServer((request, response) => {
    note(request);
    request.resume();
    response.end();
  });
  reader.on('clientError', () => undefined);
  const connection = new Duplex({
    read: () => undefined,
    write: (_chunk, _encoding, done) => done(),
    final: (done) => done(),
  });
  reader.emit('connection', connection);
  connection.push(Buffer.from(bytes, 'latin1'));
  connection.push(null);
  await Promise.race([
    once(connection, 'end').catch(() => undefined),
    once(connection, 'close').catch(() => undefined),
  ]);
  await new Promise((resolve) => setImmediate(resolve));
  connection.destroy();
  reader.closeAllConnections();
  return found;
}

describe('what a server says', () => {
  const to = (text: string, answers: string, by: Decide = decide): Outcome => {
    const input = Buffer.from(text, 'latin1');
    const said = Buffer.from(answers, 'latin1');
    return play(
      HTTP1,
      { name: text, input, decide: by, server: (received) => (received.length > 0 ? said : Buffer.alloc(0)) },
      { pieces: [input] },
    );
  };
  const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

  it.each([
    ['lines ended by LF', 'HTTP/1.1 200 OK\nContent-Length: 2\n\nok'],
    ['a folded line', 'HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n'],
    ['two lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok'],
    ['two framings', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
    ['chunks within a coding', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n'],
    ['a bad chunk', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n'],
    ['no HTTP', '220 mail.test ESMTP\r\n'],
    ['an upgrade that nobody asked for', 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\nanything'],
  ])('ends the connection: %s', (_name, answers) => {
    expect(to(GET, answers)).toMatchObject({ ending: 'reset', downstream: '' });
  });

  it('is not passed on where nobody asked', () => {
    expect(to(GET, OK + OK)).toMatchObject({ ending: 'closed', downstream: OK });
  });

  it('is passed on until it closes where it gives no length', () => {
    const endless = 'HTTP/1.0 200 OK\r\n\r\nfor ever';
    expect(to(GET + DENIED, endless)).toMatchObject({ ending: 'open', downstream: endless });
  });

  it('has no body after HEAD, 204 and 304', () => {
    const answers =
      'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nHTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n';
    const done = to(`HEAD /a HTTP/1.1\r\n${HOST}\r\n${GET}${GET}${DENIED}`, answers);
    expect(done.downstream).toMatch(/^[^]*204 No Content\r\n\r\nHTTP\/1.1 403/);
  });
});

describe('a denial', () => {
  it('says why, by which decision, and what to do', () => {
    const [head = '', text = ''] = outcome(DENIED).downstream.split('\r\n\r\n');
    expect(head).toBe(
      'HTTP/1.1 403 Forbidden\r\nContent-Type: application/problem+json\r\n' +
        `Content-Length: ${text.length}\r\nCache-Control: no-store\r\nSallyport-Decision: r-1`,
    );
    expect(JSON.parse(text)).toEqual({
      type: 'urn:sallyport:reason:no-rule',
      title: 'Denied by egress policy',
      status: 403,
      id: 'r-1',
      reason: 'no-rule',
      remedy: 'allow it',
    });
  });

  it('names what is unreadable', () => {
    expect(outcome(`GET / HTTP/1.1\r\n${HOST}${HOST}\r\n`).downstream).toContain('could not be read: two hosts');
  });

  it('has no body after HEAD', () => {
    expect(outcome(`HEAD /denied HTTP/1.1\r\n${HOST}\r\n`).downstream).toMatch(/^HTTP\/1.1 403 [^{]*\r\n\r\n$/);
  });
});

const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0';
describeConformance(
  CLEARTEXT_HTTP2,
  [
    { name: 'refused', input: Buffer.from(PREFACE, 'latin1'), decide },
    { name: 'allowed by address', input: Buffer.from(PREFACE, 'latin1'), decide: decideByAddress },
  ],
  [],
);

it('refuses HTTP/2 in its own words', () => {
  const input = Buffer.from(PREFACE, 'latin1');
  const refused = play(CLEARTEXT_HTTP2, { name: '', input, decide }, { pieces: [input] });
  expect(refused.acts).toEqual(['tcp - (http2) deny']);
  // SETTINGS, then GOAWAY with HTTP_1_1_REQUIRED
  expect(Buffer.from(refused.downstream, 'latin1').toString('hex')).toBe(
    '000000040000000000' + '000008070000000000' + '000000000000000d',
  );
});
