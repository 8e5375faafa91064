import { describe, expect, it } from 'vitest';
import { CHUNKED, MAX_HEAD_BYTES } from './request-head.ts';
import { parseResponseHead, UNTIL_CLOSE } from './response-head.ts';

const parse = (text: string): ReturnType<typeof parseResponseHead> => parseResponseHead(Buffer.from(text, 'latin1'), 0);

describe('parseResponseHead', () => {
  it.each([
    ['HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n', 200, 5],
    ['HTTP/1.1 200 OK\r\nContent-Length: 5\r\ncontent-length: 5\r\n\r\n', 200, 5],
    ['HTTP/1.1 200\r\nTransfer-Encoding: Chunked\r\n\r\n', 200, CHUNKED],
    ['HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n', 200, CHUNKED],
    ['HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n', 200, CHUNKED],
    ['HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n', 200, UNTIL_CLOSE],
    ['HTTP/1.0 200 \r\n\r\n', 200, UNTIL_CLOSE],
    ['HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n', 304, 0],
    ['HTTP/1.1 204 No Content\r\n\r\n', 204, 0],
    ['HTTP/1.1 100 Continue\r\n\r\n', 100, 0],
    ['HTTP/1.1 200 \xd6K\r\nContent-Length: 0\r\n\r\n', 200, 0],
  ])('tells where the answer ends: %j', (text, status, body) => {
    expect(parse(text)).toEqual({ length: text.length, status, body });
    for (let length = 0; length < text.length; length += 1) expect(parse(text.slice(0, length))).toBe('more');
  });

  it.each([
    'HTTP/1.1 200 OK\nX: y\n\n',
    'HTTP/2 200 OK\r\n\r\n',
    'HTTP/1.1 099 X\r\n\r\n',
    'HTTP/1.1 20x X\r\n\r\n',
    'HTTP/1.1 2000 X\r\n\r\n',
    'HTTP/1.1\t200 OK\r\n\r\n',
    'ICY 200 OK\r\n\r\n',
    'HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n',
    'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n',
    'HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n',
    'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n',
    'HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n',
    'HTTP/1.1 200 OK\r\n X: y\r\n\r\n',
    'HTTP/1.1 200 OK\r\nX : y\r\n\r\n',
    'HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n',
    `HTTP/1.1 200 OK\r\nX: ${'y'.repeat(MAX_HEAD_BYTES)}`,
  ])('does not guess: %j', (text) => {
    expect(parse(text)).toBe('malformed');
  });
});
