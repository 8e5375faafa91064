import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compileHostGlob, compilePathGlob, compileTextGlob, literalSuffix } from './glob.ts';

type Row = readonly [pattern: string, yes: readonly string[], no: readonly string[]];

const HOSTS: readonly Row[] = [
  ['a.test', ['a.test'], ['b.test', 'a.test.evil', 'xa.test', 'a.tes', '']],
  ['*', ['a', 'a.test', '192.0.2.1', '::1', ''], []],
  ['*.test', ['a.test', 'a-b.test'], ['test', '.test', 'a.b.test', 'atest', 'a.test.evil']],
  ['**.test', ['a.test', 'a.b.test', 'a.b.c.test'], ['test', '.test', 'atest', 'a.test.evil']],
  ['**', ['a', 'a.test', 'a.b.c'], ['']],
  ['*.*', ['a.test'], ['a', 'a.b.test', '.']],
  ['api-*.test', ['api-1.test', 'api-eu-west.test'], ['api-.test', 'api-1.x.test', 'api1.test']],
  ['*-api.*.test', ['eu-api.x.test'], ['-api.x.test', 'eu-api.test', 'eu-api.x.y.test']],
  ['a.**.test', ['a.b.test', 'a.b.c.test'], ['a.test', 'b.c.test']],
  ['**.b.*', ['a.b.c', 'x.a.b.c', 'b.b.c'], ['b.c', 'a.b.c.d']],
];

const PATHS: readonly Row[] = [
  ['/v1', ['/v1'], ['/v1/', '/V1', '/v']],
  ['*', ['/', '/a/b', '/*'], []],
  ['/**', ['/', '/a/b/c'], []],
  ['/v1/*', ['/v1/', '/v1/a'], ['/v1', '/v1/a/', '/v1/a/b', '/v2/a']],
  ['/v1/**', ['/v1/', '/v1/a', '/v1/a/b'], ['/v1', '/v11', '/x/v1/']],
  ['/*/x', ['/a/x', '//x'], ['/a/b/x', '/x']],
  ['/**/x', ['/a/x', '/a/b/x'], ['/a/b/y', '/a/bx', '/x']],
  ['/a*b*c', ['/abc', '/aXbYc', '/abbc'], ['/ab/c', '/a/bc', '/abcd']],
  ['/*.tar.gz', ['/a.tar.gz', '/.tar.gz'], ['/a/b.tar.gz', '/a.tar.gz.exe', '/a.targz']],
  ['/**.json', ['/a.json', '/a/b.json'], ['/a.json/b']],
  ['/a/**/b/*/c', ['/a/x/b/y/c', '/a/x/y/b/z/c', '/a/b/b/b/c'], ['/a/x/b/y/z/c', '/a/x/c']],
];

const TEXTS: readonly Row[] = [
  ['A', ['A'], ['a', 'AA']],
  ['*', ['', 'a/b'], []],
  ['a*', ['a', 'a/b'], ['ba']],
  ['*a*b', ['ab', 'xa/yb', 'aab'], ['ba', 'abx']],
];

describe.each([
  ['host', compileHostGlob, HOSTS],
  ['path', compilePathGlob, PATHS],
  ['text', compileTextGlob, TEXTS],
] as const)('a glob of %s', (_kind, compile, rows) => {
  it.each(rows)('%s', (pattern, yes, no) => {
    const test = compile(pattern);
    expect(yes.filter((value) => !test(value))).toEqual([]);
    expect(no.filter((value) => test(value))).toEqual([]);
    // no state is left from one value to the next
    expect(yes.filter((value) => !test(value))).toEqual([]);
  });
});

/** The plain meaning, by trying everything: exponential, for short texts only. */
function matches(pattern: string, value: string, stop: string, least: 0 | 1): boolean {
  if (pattern === '') return value === '';
  if (!pattern.startsWith('*'))
    return value.startsWith(pattern.charAt(0)) && matches(pattern.slice(1), value.slice(1), stop, least);
  const double = pattern.startsWith('**');
  const rest = pattern.slice(double ? 2 : 1);
  for (let length = 0; length <= value.length; length += 1) {
    if (!double && stop !== '' && value.slice(0, length).includes(stop)) return false;
    if (length >= least && matches(rest, value.slice(length), stop, least)) return true;
  }
  return false;
}

const SEED = { seed: 20_261_121, numRuns: 2000 };

describe('a glob means what trying everything finds', () => {
  const letters = fc.constantFrom('a', 'b', '/', '.');

  it('for paths', () => {
    const pattern = fc
      .array(fc.oneof(letters, fc.constantFrom('*', '**')), { maxLength: 7 })
      .map((parts) => `/${parts.join('')}`);
    const value = fc.array(letters, { maxLength: 9 }).map((parts) => `/${parts.join('')}`);
    const single = pattern.filter((text) => !text.includes('***'));
    fc.assert(
      fc.property(single, value, (text, path) => {
        expect(compilePathGlob(text)(path)).toBe(matches(text, path, '/', 0));
      }),
      SEED,
    );
  });

  it('for hosts', () => {
    const label = fc.constantFrom('a', 'b', 'ab');
    const glob = fc.array(fc.oneof(label, fc.constantFrom('*', '**', 'a*', '*b', 'a*b')), {
      minLength: 1,
      maxLength: 4,
    });
    const name = fc.array(fc.oneof(label, fc.constantFrom('axb', 'ba')), { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(glob, name, (labels, value) => {
        const pattern = labels.join('.');
        const expected = pattern === '*' || matches(pattern, value.join('.'), '.', 1);
        expect(compileHostGlob(pattern)(value.join('.'))).toBe(expected);
        // what the index finds rules by
        if (expected)
          expect(
            `.${value.join('.')}`.endsWith(literalSuffix(pattern) === '' ? '' : `.${literalSuffix(pattern)}`),
          ).toBe(true);
      }),
      SEED,
    );
  });
});

it.each(['*.a.test', '**.a.test', 'x-*.a.test', 'a.*.test', '*', '**', 'a.test', 'a.b*'])(
  'the literal end of %s',
  (pattern) => {
    const ends = {
      '*.a.test': 'a.test',
      '**.a.test': 'a.test',
      'x-*.a.test': 'a.test',
      'a.*.test': 'test',
      '*': '',
      '**': '',
      'a.test': 'a.test',
      'a.b*': '',
    };
    expect(literalSuffix(pattern)).toBe(ends[pattern as keyof typeof ends]);
  },
);

describe('the time of a glob grows with the value, whatever it says', () => {
  /** The least of several, in milliseconds: what else the machine does is left out. */
  function time(test: (value: string) => boolean, value: string): number {
    let least = Infinity;
    for (let round = 0; round < 5; round += 1) {
      const start = performance.now();
      expect(test(value)).toBe(false);
      least = Math.min(least, performance.now() - start);
    }
    return least;
  }

  it.each([
    ['/*a*a*a*a*a*a*a*a*b', (length: number) => `/${'a'.repeat(length)}`],
    ['/**a**a**a**a**a**b', (length: number) => `/${'a/'.repeat(length / 2)}`],
    ['/**/*a*a*a/**/*a*a*a/b', (length: number) => `/${'aaaaaaa/'.repeat(length / 8)}`],
    ['/**a*b', (length: number) => `/${'a'.repeat(length)}`],
  ])('%s', (pattern, hostile) => {
    const test = compilePathGlob(pattern);
    time(test, hostile(4096)); // compiled by then
    // eight times the length: 64 times the time, were it quadratic
    expect(time(test, hostile(32_768))).toBeLessThan(24 * Math.max(time(test, hostile(4096)), 0.05));
  });
});
