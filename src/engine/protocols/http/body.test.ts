import { describe, expect, it } from 'vitest';
import { beginBody, createBody, takeBody } from './body.ts';
import { CHUNKED } from './request-head.ts';
import { UNTIL_CLOSE } from './response-head.ts';

/** Where it ended, and how, taken in pieces of that size. */
function take(framing: number, text: string, size: number): readonly [end: number, state: string] {
  const body = createBody();
  beginBody(body, framing);
  for (let at = 0; at < text.length; at += size) {
    const piece = Buffer.from(text.slice(at, at + size), 'latin1');
    const end = takeBody(body, piece, 0);
    if (body.state === 'done' || body.state === 'malformed') return [at + end, body.state];
  }
  return [text.length, body.state];
}

describe('takeBody', () => {
  it.each([
    [0, 'next', 0, 'done'],
    [4, 'bodynext', 4, 'done'],
    [9, 'body', 4, 'length'],
    [UNTIL_CLOSE, 'all of it', 9, 'until-close'],
    [CHUNKED, '0\r\n\r\nnext', 5, 'done'],
    [CHUNKED, '4\r\nbody\r\nA;x="y z"\r\n0123456789\r\n0;z\r\nX: y\r\n\r\nnext', 45, 'done'],
    [CHUNKED, 'fffffffffffff\r\nx', 16, 'data'],
    [CHUNKED, '20000000000000\r\nx', 13, 'malformed'],
    [CHUNKED, '00000000000000001\r\nx', 16, 'malformed'],
    [CHUNKED, '4\r\nbodyX', 7, 'malformed'],
    [CHUNKED, '4\nbody', 1, 'malformed'],
    [CHUNKED, ' 4\r\nbody', 0, 'malformed'],
    [CHUNKED, '0\r\nhost: x', 7, 'malformed'],
    [CHUNKED, '0\r\n: x', 3, 'malformed'],
  ])('finds the end of %i in %j', (framing, text, end, state) => {
    for (const size of [text.length, 1, 2, 3, 7]) expect(take(framing, text, size)).toEqual([end, state]);
  });

  it('bounds extensions and trailers together', () => {
    const endless = `1;${'x'.repeat(9000)}\r\na\r\n0\r\nX: ${'y'.repeat(9000)}\r\n\r\n`;
    expect(take(CHUNKED, endless, 1000)[1]).toBe('malformed');
    expect(take(CHUNKED, endless.replace('y'.repeat(9000), 'y'), 1000)).toEqual([9018, 'done']);
  });
});
