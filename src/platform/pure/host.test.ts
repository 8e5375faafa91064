import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { canonicalHost } from './host.ts';

const label = (length: number): string => 'a'.repeat(length);

describe('the canonical form of a host', () => {
  it.each([
    ['a.test', 'a.test'],
    ['A.TeSt', 'a.test'],
    ['a.test.', 'a.test'],
    ['localhost', 'localhost'],
    ['_dmarc._tcp.a.test', '_dmarc._tcp.a.test'],
    ['a--b.test', 'a--b.test'],
    ['-a-.test', '-a-.test'],
    ['1a.2b', '1a.2b'],
    ['1.2.3.4.test', '1.2.3.4.test'],
    ['bücher.test', 'xn--bcher-kva.test'],
    ['BÜCHER.test', 'xn--bcher-kva.test'],
    ['bu\u0308cher.test', 'xn--bcher-kva.test'],
    ['XN--BCHER-KVA.test', 'xn--bcher-kva.test'],
    ['ａ.test', 'a.test'],
    ['a。test', 'a.test'],
    ['192.0.2.1', '192.0.2.1'],
    ['192.0.2.1.', '192.0.2.1'],
    ['2001:DB8:0::1', '2001:db8::1'],
    ['[2001:db8::1]', '2001:db8::1'],
    ['[::ffff:192.0.2.1]', '192.0.2.1'],
    ['::ffff:c000:201', '192.0.2.1'],
    [`${label(63)}.test`, `${label(63)}.test`],
    [`${`${label(61)}.`.repeat(4)}aaaaa`, `${`${label(61)}.`.repeat(4)}aaaaa`],
  ])('of %j is %j', (text, expected) => {
    expect(canonicalHost(text)).toBe(expected);
  });

  it.each([
    '',
    '.',
    '..',
    'a..test',
    '.a.test',
    'a.test..',
    ' a.test',
    'a.test ',
    'a test',
    'a\ttest',
    'a\0.test',
    'a.test\0.evil.test',
    'a.test\r\n',
    'a%2etest',
    'a.test%00',
    'user@a.test',
    'a.test@evil.test',
    'a.test:443',
    'a.test/',
    'a\\test',
    'a?',
    'a#',
    '*.a.test',
    'a,b.test',
    "a'b.test",
    'a"b.test',
    '[',
    '[]',
    '[a.test]',
    '[192.0.2.1]',
    '[::1',
    '::1]',
    '[::1]:443',
    '[::1].',
    'fe80::1%eth0',
    '[fe80::1%25eth0]',
    ':',
    ':::',
    '1::2::3',
    '[v1.fe80::a]',
    // addresses to some readers, names to others
    '127.1',
    '127.0.1',
    '1',
    '0',
    '2130706433',
    '0x7f000001',
    '0x7f.0.0.1',
    '017700000001',
    '0177.0.0.1',
    '127.0.0.01',
    '1.2.3.4.5',
    '256.0.0.1',
    '192.0.2.1.5',
    'a.test.1',
    'a.0x1',
    '0x',
    'a.0X1F',
    // the same after folding: full-width digits, and the dots of other scripts
    '１９２.0.2.1',
    '１２７.１',
    '192。0。2。1',
    '①②⑦.①',
    '0ｘ7f000001',
    'xn--a.xn--\u0000',
    '\ud800.test',
    'a\u200b\u0000.test',
    'xn--\u00fc.test',
    `${label(64)}.test`,
    `${`${label(63)}.`.repeat(4)}aa`,
  ])('of %j is none', (text) => {
    expect(canonicalHost(text)).toBeUndefined();
  });

  it('is a fixed point, and of letters that cannot be misread', () => {
    const text = fc.oneof(
      fc.string({
        unit: fc.constantFrom(
          'a',
          'Z',
          '0',
          '9',
          '-',
          '_',
          '.',
          ':',
          '[',
          ']',
          'x',
          '*',
          '%',
          '@',
          '/',
          ' ',
          'ü',
          '。',
          '１',
          '\0',
        ),
        maxLength: 12,
      }),
      fc.string({ unit: 'grapheme', maxLength: 8 }),
      fc.ipV4Extended(),
      fc.ipV6(),
      fc.domain(),
    );
    fc.assert(
      fc.property(text, (written) => {
        const host = canonicalHost(written);
        if (host === undefined) return;
        expect(host).toMatch(/^([a-z0-9_-]+(\.[a-z0-9_-]+)*|[0-9a-f:]+)$/);
        expect(host.length).toBeLessThanOrEqual(253);
        expect(canonicalHost(host)).toBe(host);
        expect(canonicalHost(written.toUpperCase())).toBe(host);
      }),
      { seed: 20_261_121, numRuns: 3000 },
    );
  });
});
