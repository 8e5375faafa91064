import dnsPacket from 'dns-packet';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseQuery } from './query.ts';

function query(name: string, overrides: Partial<dnsPacket.Packet> = {}): Buffer {
  return dnsPacket.encode({
    type: 'query',
    id: 7,
    flags: dnsPacket.RECURSION_DESIRED,
    questions: [{ type: 'A', name }],
    ...overrides,
  });
}

/** A query whose one label is these bytes. */
function queryOfLabel(label: readonly number[]): Buffer {
  const bytes = query('x'.repeat(label.length));
  label.forEach((byte, index) => bytes.writeUInt8(byte, 13 + index));
  return bytes;
}

const OPT: dnsPacket.Answer = {
  type: 'OPT',
  name: '.',
  udpPayloadSize: 4096,
  extendedRcode: 0,
  ednsVersion: 0,
  flags: 0,
  flag_do: false,
  options: [],
};

describe('parseQuery', () => {
  it('reads name, type, id and case', () => {
    const parsed = parseQuery(query('WwW.Example.test'));
    expect(parsed).toMatchObject({
      ok: true,
      query: { id: 7, name: 'www.example.test', type: 1, recursionDesired: true, ednsSize: undefined },
    });
    if (parsed.ok) expect(parsed.query.question.toString('latin1')).toContain('WwW');
  });

  it('reads the size that EDNS offers, and takes no other record', () => {
    expect(parseQuery(query('a.test', { additionals: [OPT] }))).toMatchObject({ ok: true, query: { ednsSize: 4096 } });
    expect(parseQuery(query('a.test', { additionals: [{ type: 'A', name: 'a.test', data: '192.0.2.1' }] })).ok).toBe(
      false,
    );
    expect(parseQuery(query('a.test', { answers: [{ type: 'A', name: 'a.test', data: '192.0.2.1' }] })).ok).toBe(false);
  });

  it('offers no datagram that cannot be sent, and none smaller than everybody takes', () => {
    for (const [offered, taken] of [
      [0, 512],
      [1232, 1232],
      [65_535, 4096],
    ] as const) {
      const bytes = query('a.test', { additionals: [{ ...OPT, udpPayloadSize: offered }] });
      // the library says 4096 for 0
      bytes.writeUInt16BE(offered, bytes.length - 8);
      expect(parseQuery(bytes)).toMatchObject({ ok: true, query: { ednsSize: taken } });
    }
  });

  it('takes options of EDNS, whatever they say, and no second OPT or other version', () => {
    const cookie = { code: 10, data: Buffer.from('c2VjcmV0') } as unknown as dnsPacket.PacketOpt;
    expect(parseQuery(query('a.test', { additionals: [{ ...OPT, options: [cookie] }] })).ok).toBe(true);
    expect(parseQuery(query('a.test', { additionals: [OPT, OPT] })).ok).toBe(false);
    expect(parseQuery(query('a.test', { additionals: [{ ...OPT, ednsVersion: 1 }] })).ok).toBe(false);
  });

  it.each([
    ['a dot inside a label', queryOfLabel([0x61, 0x2e, 0x62])],
    ['a NUL', queryOfLabel([0x61, 0, 0x62])],
    ['a space', queryOfLabel([0x61, 0x20, 0x62])],
    ['a high byte', queryOfLabel([0xe9, 0x61, 0x62])],
    [
      'two questions',
      query('a.test', {
        questions: [
          { type: 'A', name: 'a.test' },
          { type: 'A', name: 'b.test' },
        ],
      }),
    ],
    ['an answer', dnsPacket.encode({ type: 'response', id: 1, questions: [{ type: 'A', name: 'a.test' }] })],
    ['another opcode', query('a.test', { flags: 0x2800 })],
    ['another class', query('a.test', { questions: [{ type: 'A', name: 'a.test', class: 'CH' }] })],
    ['a byte too many', Buffer.concat([query('a.test'), Buffer.from([0])])],
    ['a compressed name', Buffer.concat([query('a.test').subarray(0, 12), Buffer.from([0xc0, 0x0c, 0, 1, 0, 1])])],
    ['the root', query('.')],
    ['a name of more than 255 octets', query(new Array(130).fill('a').join('.'))],
  ])('refuses %s', (_what, bytes) => {
    expect(parseQuery(bytes).ok).toBe(false);
  });

  it('refuses every beginning of a query', () => {
    const whole = query('www.example.test', { additionals: [OPT] });
    for (let length = 0; length < whole.length; length += 1)
      expect(parseQuery(whole.subarray(0, length)).ok).toBe(false);
    expect(parseQuery(whole).ok).toBe(true);
  });

  it('takes any garbage without a throw, and no name but a plain one', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 600 }), (raw) => {
        const parsed = parseQuery(Buffer.from(raw));
        if (parsed.ok) expect(parsed.query.name).toMatch(/^[a-z0-9_-]+(\.[a-z0-9_-]+)*$/);
      }),
      { seed: 1, numRuns: Number(process.env['SALLYPORT_FUZZ_ITERATIONS'] ?? 2000) },
    );
  });

  it('holds for one byte changed anywhere', () => {
    const whole = query('www.example.test');
    fc.assert(
      fc.property(fc.nat({ max: whole.length - 1 }), fc.nat({ max: 255 }), (at, byte) => {
        const changed = Buffer.from(whole);
        changed[at] = byte;
        const parsed = parseQuery(changed);
        if (parsed.ok) expect(parsed.query.name).toMatch(/^[a-z0-9_-]+(\.[a-z0-9_-]+)*$/);
      }),
      { seed: 1, numRuns: 2000 },
    );
  });
});
