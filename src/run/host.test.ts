import { describe, expect, it } from 'vitest';
import { parseAddress } from '../platform/pure/address.ts';
import { isOwnHost } from './host.ts';

describe('isOwnHost', () => {
  it.each([
    ['127.0.0.1', true],
    ['127.255.0.9', true],
    ['0.0.0.0', true],
    ['0.1.2.3', true],
    ['::', true],
    ['::1', true],
    ['::ffff:127.0.0.1', true],
    ['::2', false],
    ['126.0.0.1', false],
    ['128.0.0.1', false],
    ['192.0.0.1', false],
    ['fe80::1', false],
  ])('%s: %s', (text, own) => {
    const address = parseAddress(text);
    expect(address && isOwnHost(address)).toBe(own);
  });
});
