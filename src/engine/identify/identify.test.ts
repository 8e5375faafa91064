import { describe, expect, it } from 'vitest';
import { identify } from './identify.ts';
import { isQuicInitial } from './quic.ts';

function identified(text: string): string {
  const found = identify(Buffer.from(text, 'latin1'));
  return typeof found === 'string' ? found : found.name;
}

describe('identify', () => {
  it.each([
    ['GET / HTTP/1.1\r\n', 'http'],
    ['OPTIONS * HTTP/1.1\r\n', 'http'],
    ['CONNECT a.test:443 HTTP/1.1\r\n', 'http'],
    ['CONNECT [2001:2::1]:443 HTTP/1.1\r\n', 'http'],
    ['GET http://a.test/ HTTP/1.1\r\n', 'http'],
    ['PROPFIND / HTTP/1.1\r\n', 'http'],
    ['GET /a', 'http'],
    ['\x16\x03\x01', 'tls'],
    ['\x80\x2e\x01\x03\x03', 'tls'],
    ['PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'http2'],
  ])('knows what clients send: %j', (text, name) => {
    expect(identified(text)).toBe(name);
  });

  it.each([
    '\r\nGET / HTTP/1.1\r\n',
    '\nGET / HTTP/1.1\r\n',
    ' GET / HTTP/1.1\r\n',
    'get / http/1.1\r\n',
    'GET\t/\tHTTP/1.1\r\n',
    'foo /a HTTP/1.0\r\n',
    'GET a HTTP/1.1\r\n',
    `FOO /${'x'.repeat(9000)}`,
  ])('does not take for plain TCP what a lenient server takes for a request: %j', (text) => {
    expect(identified(text)).toBe('http');
    // nor when it comes in pieces
    for (let length = 1; length < text.length && length < 40; length += 1)
      expect(identified(text.slice(0, length))).not.toBe('none');
  });

  it.each(['', 'G', 'GET', 'GET ', 'PRI * HTTP/2.0\r\n', '\x16', '\x80\x2e', 'FOO /a', 'hello'])(
    'waits for more of %j',
    (text) => {
      expect(identified(text)).toBe('more');
    },
  );

  it.each([
    'SSH-2.0-OpenSSH_9.6\r\n',
    'EHLO a.test\r\n',
    '*1\r\n$4\r\nPING\r\n',
    'GET key\r\n',
    'get key\r\n',
    'get /key\r\n',
    'CONNECT {"verbose":false}\r\n',
    '\0\0\0\x08\x04\xd2\x16\x2f',
    'AMQP\0\0\x09\x01',
    '\x16\x02',
    '\x80\x2e\x02',
    'hello world',
    'A'.repeat(40),
  ])('knows plain TCP: %j', (text) => {
    expect(identified(text)).toBe('none');
  });
});

describe('isQuicInitial', () => {
  const datagram = (head: string, length = 1200): Buffer => Buffer.concat([Buffer.from(head, 'hex')], length);
  it.each([
    ['version 1', datagram('c300000001'), true],
    ['version 2', datagram('d36b3343cf'), true],
    ['a draft', datagram('c3ff00001d'), true],
    ['a handshake packet', datagram('e300000001'), false],
    ['version 2 with the type of version 1', datagram('c36b3343cf'), false],
    ['an unknown version', datagram('c30a0a0a0a'), false],
    ['a short header', datagram('4300000001'), false],
    ['a datagram that is not padded', datagram('c300000001', 1199), false],
    ['nothing', Buffer.alloc(0), false],
  ])('tells %s', (_name, bytes, expected) => {
    expect(isQuicInitial(bytes)).toBe(expected);
  });
});
