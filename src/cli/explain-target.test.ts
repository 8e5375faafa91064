import { describe, expect, test } from 'vitest';

import { parseTarget } from './explain-target.ts';
import type { TargetFlags } from './explain-target.ts';

const FLAGS: TargetFlags = { method: 'GET', type: 'A' };

describe('the target', () => {
  test.each([
    [
      'http://Api.Test/v1/a?b=c#d',
      {},
      'http',
      'api.test',
      80,
      { 'http.host': 'api.test', 'http.method': 'GET', 'http.path': '/v1/a' },
    ],
    [
      'http://api.test:8080',
      { method: 'post' },
      'http',
      'api.test',
      8080,
      { 'http.host': 'api.test', 'http.method': 'POST', 'http.path': '/' },
    ],
    [
      'http://[2001:db8::1]/',
      {},
      'http',
      '2001:db8::1',
      80,
      { 'http.host': '2001:db8::1', 'http.method': 'GET', 'http.path': '/' },
    ],
    ['https://api.test/', {}, 'tls', 'api.test', 443, {}],
    ['tls://198.51.100.7', {}, 'tls', undefined, 443, {}],
    ['db.test:5432', {}, 'tcp', undefined, 5432, {}],
    ['tcp://[2001:db8::1]:5432', {}, 'tcp', undefined, 5432, {}],
    ['2001:db8::1', { port: '99' }, 'tcp', undefined, 99, {}],
    ['udp://198.51.100.7:123', {}, 'udp', undefined, 123, {}],
    ['api.test', { class: 'tls' }, 'tls', 'api.test', 443, {}],
    ['api.test:8443', { class: 'tls' }, 'tls', 'api.test', 8443, {}],
    ['evil.test', { class: 'dns', type: 'txt' }, 'dns', undefined, 0, { 'dns.name': 'evil.test', 'dns.type': 'TXT' }],
    ['icmp://192.0.2.7', {}, 'icmp', undefined, 0, {}],
  ] as const)('%s %j', (target, flags, className, requestedName, port, tags) => {
    const { access } = parseTarget(target, { ...FLAGS, ...flags });
    expect(access).toMatchObject({ class: className, tags, destination: { requestedName, port } });
    expect(Object.keys(access.tags)).toEqual(expect.arrayContaining(Object.keys(tags)));
  });

  test('a host has its name bound to the address, an address has none', () => {
    expect(parseTarget('db.test:1', FLAGS).access.destination.names).toEqual(['db.test']);
    expect(parseTarget('198.51.100.7:1', FLAGS).access.destination).toMatchObject({
      names: [],
      address: { text: '198.51.100.7' },
    });
    expect(parseTarget('db.test:1', { ...FLAGS, address: '10.0.0.1' }).access.destination.address.text).toBe(
      '10.0.0.1',
    );
  });

  test('says what it assumed', () => {
    expect(parseTarget('db.test:1', FLAGS).notes).toEqual([expect.stringMatching(/public address/)]);
    expect(parseTarget('db.test:1', { ...FLAGS, address: '10.0.0.1' }).notes).toEqual([]);
    expect(parseTarget('https://a.test/x', FLAGS).notes).toContainEqual(expect.stringMatching(/path plays no part/));
    expect(parseTarget('http://a.test/../x', FLAGS).notes).toContainEqual(expect.stringMatching(/two ways/));
    expect(parseTarget('http://a.test/../x', FLAGS).access.tags['http.path']).toBeUndefined();
  });

  test.each([
    ['', {}],
    ['db.test', {}],
    ['db.test:', {}],
    ['db.test:99999', {}],
    ['db.test:x', {}],
    ['http://', {}],
    ['http://u@a.test/', {}],
    ['gopher://a.test/', {}],
    ['a b:1', {}],
    ['127.1:80', {}],
    ['http://a.test\\@b.test/', {}],
    ['db.test:1', { address: 'nonsense' }],
    ['tcp://a.test', {}],
  ] as const)('%j %j is a usage error', (target, flags) => {
    expect(() => parseTarget(target, { ...FLAGS, ...flags })).toThrow(expect.objectContaining({ code: 'usage' }));
  });
});
