import { expect, test } from 'vitest';

import { printableJson, printableLine, printableText } from './printable.ts';

test.each([
  ['plain', 'plain'],
  ['caf\u00e9 \u{1f512} \u4e2d', 'caf\u00e9 \u{1f512} \u4e2d'],
  ['a\nb\tc', 'a\\u000ab\\u0009c'],
  ['\u001b[31m', '\\u001b[31m'],
  ['\u009b31m', '\\u009b31m'],
  ['\u202egpj.exe', '\\u202egpj.exe'],
  ['zero\u200bwidth', 'zero\\u200bwidth'],
  ['\ud800', '\\ud800'],
])('%j on one line', (text, shown) => {
  expect(printableLine(text)).toBe(shown);
});

test('text keeps its lines, and nothing else', () => {
  expect(printableText('a\nb\r\nc')).toBe('a\nb\\u000d\nc');
});

test('JSON parses back to the same', () => {
  const value = { 'k\u0085': '\u2028\u202e\u001b\u{1f512}"\\', n: [1, undefined, null] };
  const text = printableJson(value);
  expect(text).not.toMatch(/[\u0080-\u009f\u2028\u202e]/);
  expect(JSON.parse(text)).toEqual({ ...value, n: [1, null, null] });
});
