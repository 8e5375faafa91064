import { expect, test } from 'vitest';

import { parseLabels, parseRate } from './option-values.ts';

test.each([
  ['0', 0],
  ['1', 1],
  ['0.01', 0.01],
  ['.5', 0.5],
  ['1.0', 1],
])('the rate %s', (text, rate) => {
  expect(parseRate(text)).toBe(rate);
});

test.each(['', '-1', '1.1', '2', '50%', 'half', '1e-3', 'NaN', 'Infinity', ' 1', '0x1', '0,5'])(
  'no rate: %j',
  (text) => {
    expect(parseRate(text)).toBeUndefined();
  },
);

test.each([
  ['app=checkout', { app: 'checkout' }],
  ['app=checkout,tier=', { app: 'checkout', tier: '' }],
  ['app.kubernetes.io/name=a_b.c-d', { 'app.kubernetes.io/name': 'a_b.c-d' }],
])('the labels %s', (text, labels) => {
  expect(parseLabels(text)).toEqual(labels);
});

test.each([
  '',
  'app',
  '=x',
  'app=a,',
  'app=a,app=b',
  'app=a b',
  '-app=a',
  'app=-a',
  'App/x=1',
  `${'k'.repeat(64)}=v`,
  'a=b=c',
])('no labels: %j', (text) => {
  expect(parseLabels(text)).toBeUndefined();
});

test('a label named like a property of every object is a label', () => {
  expect(Object.entries(parseLabels('constructor=a') ?? {})).toEqual([['constructor', 'a']]);
});
