import { describe, expect, it } from 'vitest';
import { canonicalHostPattern, completeClusterName, isPathPattern, parseUrlPattern } from './patterns.ts';

describe('a pattern of hosts', () => {
  it.each([
    ['*', '*'],
    ['**', '**'],
    ['*.A.test.', '*.a.test'],
    ['**.a.test', '**.a.test'],
    ['API-*.Bücher.test', 'api-*.xn--bcher-kva.test'],
    ['*a*.test', '*a*.test'],
    ['a.*', 'a.*'],
    ['*.1a', '*.1a'],
    ['A.test', 'a.test'],
    ['[2001:DB8::1]', '2001:db8::1'],
  ])('%s is %s', (text, expected) => {
    expect(canonicalHostPattern(text)).toBe(expected);
  });

  it.each([
    '',
    '***',
    '***.a',
    'a**.test',
    '**a.test',
    '*..test',
    '.*',
    '*. test',
    '*.a:80',
    '*/a',
    '10.0.0.*',
    '10.*',
    '*.1',
    '1*.2',
    '192.0.2.1/24',
    '[*]',
    `*.${'a'.repeat(64)}`,
  ])('%j is none', (text) => {
    expect(canonicalHostPattern(text)).toBeUndefined();
  });
});

describe('a pattern of URLs', () => {
  it.each([
    ['http://a.test', { scheme: 'http', host: 'a.test', port: 80, path: '/**' }],
    ['https://A.test/', { scheme: 'https', host: 'a.test', port: 443, path: '/' }],
    ['http://*.a.test:8080/v1/**', { scheme: 'http', host: '*.a.test', port: 8080, path: '/v1/**' }],
    ['http://[2001:db8::1]:80/x', { scheme: 'http', host: '2001:db8::1', port: 80, path: '/x' }],
    ['http://*/', { scheme: 'http', host: '*', port: 80, path: '/' }],
  ])('%s', (text, expected) => {
    expect(parseUrlPattern(text)).toEqual(expected);
  });

  it.each([
    '',
    'a.test',
    'http:/a.test',
    'HTTP://a.test',
    'ws://a.test',
    'http://a.test:',
    'http://a.test:65536',
    'http://u:p@a.test',
    'http://a.test/#x',
    'http://a.test/?x',
    'http://a.test/./x',
    'http://[a.test]/',
    'http://a.test/%2f',
  ])('%j is none', (text) => {
    expect(parseUrlPattern(text)).toBeUndefined();
  });
});

it.each([
  ['*', true],
  ['/', true],
  ['/a/*/b/**', true],
  ['/bücher', true],
  ['**', false],
  ['a', false],
  ['/a//b', false],
  ['/a/../b', false],
  ['/***', false],
  ['/%41', false],
  ['/a%zz', false],
  ['/a;b', false],
])('a pattern of paths: %s %s', (text, expected) => {
  expect(isPathPattern(text)).toBe(expected);
});

it.each([
  ['db', 'db.shop.svc.cluster.local'],
  ['db-*', 'db-*.shop.svc.cluster.local'],
  ['db.other', 'db.other.svc.cluster.local'],
  ['db.other.svc', 'db.other.svc.cluster.local'],
  ['*.other.svc', '*.other.svc.cluster.local'],
  ['db.other.svc.cluster.local', undefined],
  ['api.a.test', undefined],
  ['*', undefined],
  ['**', undefined],
])('the full name of %s in a cluster is %s', (name, expected) => {
  expect(completeClusterName(name, { domain: 'cluster.local', namespace: 'shop' })).toBe(expected);
});
