import { expect, test } from 'vitest';

import { parseListenAddress, parseResolver } from './endpoint.ts';

test.each([
  ['192.0.2.53', '192.0.2.53', 53],
  ['192.0.2.53:5353', '192.0.2.53', 5353],
  ['2001:db8::53', '2001:db8::53', 53],
  ['[2001:DB8::53]', '2001:db8::53', 53],
  ['[2001:db8::53]:5353', '2001:db8::53', 5353],
])('the resolver %s', (text, address, port) => {
  const endpoint = parseResolver(text);
  expect([endpoint?.address.text, endpoint?.port]).toEqual([address, port]);
});

test.each([
  '',
  ':53',
  'dns.example',
  '192.0.2.53:',
  '192.0.2.53:0',
  '192.0.2.53:65536',
  '192.0.2.53:053',
  '192.0.2.53:5:3',
  '[192.0.2.53]:53',
  '192.0.2.053',
  '[::1',
  '::1]',
  'fe80::1%eth0',
  ' 192.0.2.53',
])('no resolver: %j', (text) => {
  expect(parseResolver(text)).toBeUndefined();
});

test.each([
  ['127.0.0.1:9090', '127.0.0.1', 9090],
  [':9090', undefined, 9090],
  ['localhost:0', '127.0.0.1', 0],
  ['[::1]:9090', '::1', 9090],
])('listening at %s', (text, host, port) => {
  expect(parseListenAddress(text)).toEqual({ host, port, text });
});

test.each([
  '',
  '9090',
  '127.0.0.1',
  '127.0.0.1:',
  '127.0.0.1:99999',
  '::1:9090',
  'example.com:9090',
  '127.0.0.1:1:9090',
  '[127.0.0.1]:9090',
  '[::1]9090',
])('no address to listen at: %j', (text) => {
  expect(parseListenAddress(text)).toBeUndefined();
});
