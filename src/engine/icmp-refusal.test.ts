import { describe, expect, it } from 'vitest';
import { parseAddress, type Address } from '../platform/pure/address.ts';
import { buildUdpRefusal, internetChecksum } from './icmp-refusal.ts';

function endpoint(text: string, port: number): { address: Address; port: number } {
  const address = parseAddress(text);
  if (address === undefined) throw new Error(text);
  return { address, port };
}

describe('buildUdpRefusal', () => {
  it('quotes an IPv4 datagram, both checksums right', () => {
    const message = buildUdpRefusal(
      { source: endpoint('192.0.0.2', 4000), original: endpoint('198.18.0.66', 9999) },
      5,
    );
    expect([...message.subarray(0, 2)]).toEqual([3, 13]);
    expect(internetChecksum(message)).toBe(0);
    expect(internetChecksum(message.subarray(8, 28))).toBe(0);
    expect(message.readUInt16BE(8 + 20)).toBe(4000);
    expect(message.readUInt16BE(8 + 22)).toBe(9999);
    expect(message.readUInt16BE(8 + 24)).toBe(13);
  });

  it('quotes an IPv6 datagram', () => {
    const message = buildUdpRefusal({ source: endpoint('fd00::2', 4000), original: endpoint('2001:2::66', 9999) }, 5);
    expect([...message.subarray(0, 2)]).toEqual([1, 1]);
    expect(message.subarray(8 + 8, 8 + 24).toString('hex')).toBe('fd000000000000000000000000000002');
    expect(message.readUInt16BE(8 + 40 + 2)).toBe(9999);
  });
});
