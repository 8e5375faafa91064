import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { canonicalPath } from './path.ts';

describe('the canonical form of a path', () => {
  it.each([
    ['/', '/', ''],
    ['/v1/items', '/v1/items', ''],
    ['/v1/', '/v1/', ''],
    ['/A/b', '/A/b', ''],
    ['/a?b=/../c&d=%2f', '/a', 'b=/../c&d=%2f'],
    ['/a?', '/a', ''],
    ['/a?b?c', '/a', 'b?c'],
    ['/%61%2D%7e', '/a-~', ''],
    ['/b%C3%BCcher', '/bücher', ''],
    ['/a%20b', '/a b', ''],
    ['/a%3Fb', '/a?b', ''],
    ['/a%23b', '/a#b', ''],
    ['/%2A', '/*', ''],
    ['/.well-known/x', '/.well-known/x', ''],
    ['/a.b/..c/...', '/a.b/..c/...', ''],
    ['/@scope/pkg', '/@scope/pkg', ''],
    ["/a:b,c=d+e!$&'()", "/a:b,c=d+e!$&'()", ''],
  ])('of %j is %j', (raw, path, query) => {
    expect(canonicalPath(raw)).toEqual({ path, query });
  });

  it.each([
    '',
    'a',
    '*',
    '?',
    'http://a.test/',
    '//',
    '//a',
    '/a//b',
    '/a//',
    '/.',
    '/..',
    '/./a',
    '/a/.',
    '/a/..',
    '/a/../b',
    '/a/./b',
    '/%2e',
    '/%2E%2e/b',
    '/a/.%2e/b',
    '/a/%2e',
    '/a%2fb',
    '/a%2Fb',
    '/a%5cb',
    '/a\\b',
    '/a\\..\\b',
    '/%00',
    '/a%00b',
    '/a%0d%0ab',
    '/a%1f',
    '/a%7f',
    '/a%09',
    // decoded once more by some
    '/a%252fb',
    '/a%252e%252e/b',
    '/a%25',
    '/%25',
    // no percent-encoding, or none of UTF-8
    '/%',
    '/%2',
    '/%zz',
    '/%u0041',
    '/%c0%ae',
    '/%ff',
    '/%c3',
    '/%ed%a0%80',
    '/%f4%90%80%80',
    // parameters that some servers drop
    '/a;b',
    '/a;b/c',
    '/..;/b',
    '/a/..;x=1/b',
    '/a%3bb',
    '/.;',
    '/a#b',
    '/a b',
    '/ü',
    '/a\tb',
    '/a\0',
    '/a\r\n',
  ])('of %j is none', (raw) => {
    expect(canonicalPath(raw)).toBeUndefined();
  });

  it('has one slash between segments, no dots to follow, and nothing left to decode', () => {
    const part = fc.constantFrom(
      'a',
      '/',
      '.',
      '..',
      '%2e',
      '%2f',
      '%61',
      '%25',
      ';',
      '\\',
      '%c3%bc',
      '%',
      '2',
      'e',
      '~',
      '%5C',
      '%3b',
    );
    fc.assert(
      fc.property(fc.array(part, { maxLength: 8 }), (parts) => {
        const known = canonicalPath(`/${parts.join('')}`);
        if (known === undefined) return;
        expect(known.path).not.toMatch(/\/\/|\/\.\.?(\/|$)|[\\;%\0]/);
        // what a server makes of it by the rules of URLs is the same
        expect(decodeURIComponent(new URL(`/${parts.join('')}`, 'http://a.test').pathname)).toBe(known.path);
      }),
      { seed: 20_261_121, numRuns: 3000 },
    );
  });
});
