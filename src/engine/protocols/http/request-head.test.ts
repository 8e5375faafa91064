import { describe, expect, it } from 'vitest';
import {
  CHUNKED,
  MAX_HEAD_BYTES,
  NO_BODY,
  parseRequestHead,
  withoutUpgrade,
  type RequestHead,
} from './request-head.ts';

function parse(text: string, before?: RequestHead): ReturnType<typeof parseRequestHead> {
  return parseRequestHead(Buffer.from(text, 'latin1'), 0, before);
}

function headOf(text: string): RequestHead {
  const head = parse(text);
  if (typeof head === 'string') throw new Error(head);
  return head;
}

const HOST = 'Host: a.test\r\n';

describe('parseRequestHead', () => {
  it('reads a request', () => {
    expect(
      parse(`POST /x?y=1 HTTP/1.1\r\nHost: A.test.:81\r\nContent-Length: 5\r\nTraceparent: 00-ab\r\n\r\nhello`),
    ).toEqual({
      length: 81,
      method: 'POST',
      target: '/x?y=1',
      authority: 'A.test.',
      host: 'a.test',
      port: 81,
      minor: 1,
      body: 5,
      keepAlive: true,
      expectsContinue: false,
      upgrade: 'none',
      methodOverridden: false,
      pathOverridden: false,
      traceparent: '00-ab',
    });
  });

  it('reads where the head begins, not where the bytes do', () => {
    const bytes = Buffer.from(`GET /1 HTTP/1.1\r\n${HOST}\r\nGET /2 HTTP/1.1\r\n${HOST}\r\n`);
    const first = parseRequestHead(bytes, 0, undefined);
    if (typeof first === 'string') throw new Error(first);
    expect(parseRequestHead(bytes, first.length, first)).toMatchObject({ target: '/2', host: 'a.test' });
  });

  it('asks for more of each beginning', () => {
    const whole = `GET /x HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n`;
    for (let length = 0; length < whole.length; length += 1) expect(parse(whole.slice(0, length))).toBe('more');
    expect(parse(whole)).toMatchObject({ length: whole.length });
  });

  it.each([
    ['nothing', '', NO_BODY],
    ['a length', 'Content-Length: 12\r\n', 12],
    ['chunks', 'Transfer-Encoding: chunked\r\n', CHUNKED],
    ['a length of nothing', 'Content-Length: 0\r\n', NO_BODY],
  ])('tells how the body is framed: %s', (_name, field, body) => {
    expect(headOf(`PUT / HTTP/1.1\r\n${HOST}${field}\r\n`).body).toBe(body);
  });

  it.each([
    ['HTTP/1.1', '', true],
    ['HTTP/1.1', 'Connection: close\r\n', false],
    ['HTTP/1.1', 'Connection: TE, Close\r\n', false],
    ['HTTP/1.1', 'Connection: keep-alive\r\nConnection: close\r\n', false],
    ['HTTP/1.0', '', false],
    ['HTTP/1.0', 'Connection: Keep-Alive\r\n', true],
  ])('tells whether the connection goes on: %s %j', (version, field, keepAlive) => {
    expect(headOf(`GET / ${version}\r\n${HOST}${field}\r\n`).keepAlive).toBe(keepAlive);
  });

  it.each([
    ['http://a.test', '/'],
    ['http://a.test?x', '/?x'],
    ['HTTP://A.TEST/x', '/x'],
    ['/x', '/x'],
  ])('takes path and query out of %s', (target, expected) => {
    expect(headOf(`GET ${target} HTTP/1.1\r\n${HOST}\r\n`).target).toBe(expected);
  });

  it.each([
    ['[2001:2::1]', '2001:2::1', 0],
    ['[2001:2::1]:8080', '2001:2::1', 8080],
    ['198.18.0.1:80', '198.18.0.1', 80],
  ])('reads the host %s', (text, host, port) => {
    expect(headOf(`GET / HTTP/1.1\r\nHost: ${text}\r\n\r\n`)).toMatchObject({ host, port });
  });

  it.each([
    '[2001:2::1',
    '2001:2::1',
    '[2001:2::1]8080',
    '[]',
    '[a.test]',
    ':80',
    'a.test:',
    'a[b].test',
    '[::1]]',
    'a.test:080',
    '-',
    '..',
  ])('refuses the host %j', (text) => {
    const head = parse(`GET / HTTP/1.1\r\nHost: ${text}\r\n\r\n`);
    // `-` is a label that names may hold; what it is not is another host
    if (text === '-') expect(head).toMatchObject({ host: '-' });
    else expect(head).toBe('host');
  });

  it('says what is wrong, or too large, whatever follows', () => {
    expect(parse('GET / HTTP/1.1\r\nHost : a')).toBe('field name');
    expect(parse(`GET / HTTP/1.1\r\nX: ${'x'.repeat(MAX_HEAD_BYTES)}`)).toBe('too large');
    const largest = `GET / HTTP/1.1\r\n${HOST}X: ${'x'.repeat(MAX_HEAD_BYTES - 37)}\r\n\r\n`;
    expect(largest.length).toBe(MAX_HEAD_BYTES);
    expect(parse(largest)).toMatchObject({ length: MAX_HEAD_BYTES });
    expect(parse(largest.replace('X: ', 'X: x'))).toBe('too large');
  });
});

describe('withoutUpgrade', () => {
  it('leaves out what asks for HTTP/2, and nothing else', () => {
    const head = (fields: string): Buffer => Buffer.from(`GET / HTTP/1.1\r\n${HOST}${fields}X: \xe4\r\n\r\n`, 'latin1');
    expect(
      withoutUpgrade(head('Connection: Upgrade, TE, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA\r\n')),
    ).toEqual(head('Connection: TE\r\n'));
    expect(withoutUpgrade(head('Connection: Upgrade\r\nUpgrade: h2c\r\nhttp2_settings: AAMA\r\n'))).toEqual(head(''));
  });
});
