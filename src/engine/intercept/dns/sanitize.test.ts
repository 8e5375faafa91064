import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseAddress } from '../../../platform/pure/address.ts';
import { sanitizeAnswer } from './sanitize.ts';
import { encodeName, parseAnswer, TYPES, type Message } from './wire.ts';

function parameter(key: number, value: readonly number[]): Buffer {
  return Buffer.from([key >> 8, key & 255, value.length >> 8, value.length & 255, ...value]);
}

function httpsMessage(...parameters: readonly Buffer[]): Message {
  const data = Buffer.concat([Buffer.from([0, 1]), encodeName(''), ...parameters]);
  const type = TYPES['HTTPS'] ?? 0;
  return {
    id: 1,
    rcode: 0,
    truncated: false,
    question: { name: 'a.test', type },
    answers: [{ name: 'a.test', type, ttl: 60, data }],
    soa: undefined,
  };
}

const ALPN = parameter(1, [2, 0x68, 0x32]);
const ECH = parameter(5, [0, 4, 1, 2, 3, 4]);
const HINTS = parameter(4, [198, 18, 0, 1, 169, 254, 169, 254]);

describe('sanitizeAnswer', () => {
  it('takes the offer of an encrypted ClientHello out of HTTPS records, and nothing else', () => {
    const { records } = sanitizeAnswer(httpsMessage(ALPN, ECH), () => true);
    expect(records[0]?.data).toEqual(Buffer.concat([Buffer.from([0, 1, 0]), ALPN]));
  });

  it('filters hints like addresses, and binds those that stay', () => {
    const metadata = parseAddress('169.254.169.254');
    const { records, addresses } = sanitizeAnswer(
      httpsMessage(ALPN, HINTS),
      (address) => address.text !== metadata?.text,
    );
    expect(addresses.map(({ text }) => text)).toEqual(['198.18.0.1']);
    expect(records[0]?.data.subarray(-8)).toEqual(parameter(4, [198, 18, 0, 1]));
  });

  it('drops a record that insists on what was taken out', () => {
    const mandatory = (key: number): Buffer => parameter(0, [0, key]);
    expect(sanitizeAnswer(httpsMessage(mandatory(5), ALPN, ECH), () => true).records).toEqual([]);
    expect(sanitizeAnswer(httpsMessage(mandatory(4), ALPN, HINTS), () => false).records).toEqual([]);
    expect(sanitizeAnswer(httpsMessage(mandatory(1), ALPN, ECH), () => true).records).toHaveLength(1);
  });

  it.each([
    ['A', [0x20, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]],
    ['AAAA', [198, 18, 0, 1]],
    ['A', [198, 18, 0]],
    ['A', []],
  ])('takes no address of another size than the type’s: %s %j', (type, data) => {
    const record = { name: 'a.test', type: TYPES[type] ?? 0, ttl: 60, data: Buffer.from(data) };
    const message = { ...httpsMessage(), question: { name: 'a.test', type: record.type }, answers: [record] };
    expect(sanitizeAnswer(message, () => true)).toMatchObject({ records: [], addresses: [] });
  });

  it('goes round no circle of aliases', () => {
    const alias = (name: string, to: string): Message['answers'][number] => ({
      name,
      type: TYPES['CNAME'] ?? 0,
      ttl: 60,
      data: encodeName(to),
    });
    const answers = [alias('a.test', 'b.test'), alias('b.test', 'a.test')];
    const message = { ...httpsMessage(), question: { name: 'a.test', type: TYPES['A'] ?? 0 }, answers };
    expect(sanitizeAnswer(message, () => true).records.length).toBeLessThan(20);
  });

  it('drops a record that is not what it says', () => {
    expect(sanitizeAnswer(httpsMessage(Buffer.from([0, 1, 0])), () => true).records).toEqual([]);
  });
});

describe('parseAnswer', () => {
  /** An answer to `a.test` with one record of that owner, whose data may point into the message. */
  const answerOf = (type: number, data: readonly number[], owner = 12): Message | undefined => {
    const question = Buffer.concat([encodeName('a.test'), Buffer.from([type >> 8, type & 255, 0, 1])]);
    const record = [0xc0, owner, type >> 8, type & 255, 0, 1, 0, 0, 0, 60, 0, data.length, ...data];
    return parseAnswer(Buffer.from([0, 1, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0, ...question, ...record]));
  };

  it.each([
    ['CNAME', 5, [1, 98, 0xc0, 12], [...encodeName('b.a.test')]],
    ['MX', 15, [0, 10, 0xc0, 14], [0, 10, ...encodeName('test')]],
    ['RP', 17, [0xc0, 12, 0xc0, 14], [...encodeName('a.test'), ...encodeName('test')]],
    ['TXT', 16, [2, 0xc0, 12], [2, 0xc0, 12]],
  ])('writes out the names in %s, which point elsewhere in another message', (_type, type, data, written) => {
    expect(answerOf(type, data)?.answers.map((record) => [...record.data])).toEqual([written]);
  });

  it('follows no pointer forward, though a name stands there', () => {
    const data = [...encodeName('a.test')];
    expect(answerOf(16, data)?.answers).toHaveLength(1);
    expect(answerOf(16, data, 36)?.answers).toEqual([]);
  });

  it.each([
    ['bytes after its name', 5, [0xc0, 12, 0]],
    ['a name that runs past its end', 5, [1, 98]],
    ['a name that points forward', 5, [0xc0, 60]],
    ['a name that points at itself', 5, [0xc0, 36]],
    ['a dot inside a label', 5, [3, 97, 46, 98, 0]],
    ['an SOA that is too short', 6, [0, 0, 1, 2, 3]],
  ])('leaves out a record with %s', (_what, type, data) => {
    expect(answerOf(type, data)?.answers).toEqual([]);
  });

  it('takes any garbage without a throw', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 600 }), (raw) => {
        const bytes = Buffer.from(raw);
        if (bytes.length > 6) bytes.writeUInt16BE(0x8180, 2);
        if (bytes.length > 6) bytes.writeUInt16BE(1, 4);
        const message = parseAnswer(bytes);
        if (message !== undefined) sanitizeAnswer(message, () => true);
      }),
      { seed: 1, numRuns: Number(process.env['SALLYPORT_FUZZ_ITERATIONS'] ?? 2000) },
    );
  });
});
