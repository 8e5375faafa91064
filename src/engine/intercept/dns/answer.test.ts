import dnsPacket from 'dns-packet';
import { describe, expect, it } from 'vitest';
import { buildAnswer, buildFormatError, EDE_PROHIBITED } from './answer.ts';
import { parseQuery, type Query } from './query.ts';
import { RCODE } from './wire.ts';

function queryFor(name: string, udpPayloadSize?: number): Query {
  const opt: dnsPacket.Answer = {
    type: 'OPT',
    name: '.',
    udpPayloadSize: udpPayloadSize ?? 0,
    extendedRcode: 0,
    ednsVersion: 0,
    flags: 0,
    flag_do: false,
    options: [],
  };
  const parsed = parseQuery(
    dnsPacket.encode({
      type: 'query',
      id: 7,
      questions: [{ type: 'A', name }],
      additionals: udpPayloadSize === undefined ? [] : [opt],
    }),
  );
  if (!parsed.ok) throw new Error(parsed.reason);
  return parsed.query;
}

const LONGEST_NAME = [...new Array<string>(3).fill('a'.repeat(63)), 'b'.repeat(61)].join('.');
const isCut = (bytes: Buffer): boolean => (bytes.readUInt16BE(2) & 0x0200) !== 0;

describe('a refusal', () => {
  it('says why to a client that speaks EDNS, and to no other', () => {
    const extended = { code: EDE_PROHIBITED, text: 'run-1: add a rule' };
    const told = buildAnswer(queryFor('a.test', 1232), 'udp', RCODE.REFUSED, [], [], extended);
    expect(told.includes('run-1: add a rule')).toBe(true);
    expect(dnsPacket.decode(told)).toMatchObject({ rcode: 'REFUSED', additionals: [{ type: 'OPT' }] });
    const untold = buildAnswer(queryFor('a.test'), 'udp', RCODE.REFUSED, [], [], extended);
    expect(dnsPacket.decode(untold)).toMatchObject({ rcode: 'REFUSED', additionals: [] });
  });

  it('is never cut: where the words do not fit, the code goes alone', () => {
    const extended = { code: EDE_PROHIBITED, text: '’'.repeat(300) };
    const answer = buildAnswer(queryFor(LONGEST_NAME, 512), 'udp', RCODE.REFUSED, [], [], extended);
    expect(answer.length).toBeLessThanOrEqual(512);
    expect(isCut(answer)).toBe(false);
    expect(answer.subarray(-6)).toEqual(Buffer.from([0, 15, 0, 2, 0, EDE_PROHIBITED]));
  });
});

describe('an answer', () => {
  const records = (count: number, name = 'a.test'): Parameters<typeof buildAnswer>[3] =>
    Array.from({ length: count }, (_, index) => ({
      name,
      type: 1,
      ttl: 60,
      data: Buffer.from([198, 18, index >> 8, index & 255]),
    }));

  it.each([
    ['512 bytes without EDNS', undefined, 512],
    ['what EDNS offers', 1232, 1232],
  ])('over UDP fits %s to the byte, or is cut', (_what, edns, limit) => {
    const query = queryFor('a.test', edns);
    let largest = 0;
    for (let count = 0; count < 100; count += 1) {
      const answer = buildAnswer(query, 'udp', RCODE.NOERROR, records(count));
      expect(answer.length).toBeLessThanOrEqual(limit);
      if (!isCut(answer)) largest = answer.length;
    }
    // one more record would not have fitted
    expect(largest + 16).toBeGreaterThan(limit);
  });

  it('over TCP is cut only past 65,535 bytes', () => {
    const query = queryFor('a.test', 1232);
    expect(isCut(buildAnswer(query, 'tcp', RCODE.NOERROR, records(4000)))).toBe(false);
    const cut = buildAnswer(query, 'tcp', RCODE.NOERROR, records(5000));
    expect([isCut(cut), cut.length < 100]).toEqual([true, true]);
  });

  it('names other owners in full', () => {
    const answer = buildAnswer(queryFor('a.test'), 'udp', RCODE.NOERROR, records(1, 'edge.cdn.test'));
    expect(dnsPacket.decode(answer).answers).toMatchObject([{ name: 'edge.cdn.test', data: '198.18.0.0' }]);
  });
});

describe('buildFormatError', () => {
  it('answers to an id, and never to an answer: two proxies would talk forever', () => {
    expect(buildFormatError(Buffer.from([1, 2]))?.readUInt16BE(0)).toBe(0x0102);
    expect(buildFormatError(Buffer.from([1, 2, 0x80]))).toBeUndefined();
    expect(buildFormatError(Buffer.from([1]))).toBeUndefined();
    expect(buildFormatError(Buffer.alloc(0))).toBeUndefined();
  });
});
