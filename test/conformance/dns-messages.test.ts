/** Queries and answers cut at each byte, and mutated: what is asked upstream and what is answered stays within the rules. */
import dnsPacket, { type Answer, type DecodedPacket } from 'dns-packet';
import { describe, expect, it } from 'vitest';
import { parseQuery } from '../../src/engine/intercept/dns/query.ts';
import { parseAnswer, readName, TYPES, type Message } from '../../src/engine/intercept/dns/wire.ts';
import { ADDRESSED, createDnsStage, FORBIDDEN_ADDRESS, isAllowed, type DnsStage } from './dns-stage.ts';
import { createRandom, FUZZ_ITERATIONS, mutate } from './harness.ts';

const OPT: Answer = {
  type: 'OPT',
  name: '.',
  udpPayloadSize: 1232,
  extendedRcode: 0,
  ednsVersion: 0,
  flags: 0,
  flag_do: false,
  options: [],
};

function queryOf(name: string, type: 'A' | 'AAAA' | 'TXT' | 'SRV' | 'PTR', edns = false): Buffer {
  return dnsPacket.encode({
    type: 'query',
    id: 0x1234,
    flags: dnsPacket.RECURSION_DESIRED,
    questions: [{ type, name }],
    additionals: edns ? [OPT] : [],
  });
}

const QUERIES: readonly Buffer[] = [
  queryOf('api.allowed.test', 'A'),
  queryOf('API.Allowed.test', 'AAAA', true),
  queryOf('_x._tcp.allowed.test', 'SRV', true),
  queryOf('c2VjcmV0.evil.test', 'TXT'),
  queryOf('allowed.test.corp.example', 'A'),
  queryOf('1.0.18.198.in-addr.arpa', 'PTR'),
];

function answerOf(type: 'A' | 'AAAA' | 'SRV' | 'MX', answers: Answer[], authorities: Answer[] = []): Buffer {
  return dnsPacket.encode({
    type: 'response',
    id: 1,
    flags: dnsPacket.RECURSION_DESIRED,
    questions: [{ type, name: 'api.allowed.test' }],
    answers,
    authorities,
    additionals: [OPT],
  });
}

/** ALPN, the hints of two addresses of which one is forbidden, and an offer of encrypted ClientHello. */
function httpsAnswer(): Buffer {
  const parameters = [
    [0, 1, 0, 3, 2, 0x68, 0x32],
    [0, 4, 0, 8, 198, 18, 0, 1, 169, 254, 169, 254],
    [0, 5, 0, 4, 0xec, 0xec, 0xec, 0xec],
  ].flat();
  const data = Buffer.from([0, 1, 0, ...parameters]);
  const bytes = dnsPacket.encode({
    type: 'response',
    id: 1,
    questions: [{ type: 'A', name: 'api.allowed.test' }],
    answers: [{ type: 'NULL', name: 'api.allowed.test', ttl: 60, data }],
  });
  const afterQuestion = 12 + 'api.allowed.test'.length + 2;
  bytes.writeUInt16BE(TYPES['HTTPS'] ?? 0, afterQuestion);
  bytes.writeUInt16BE(TYPES['HTTPS'] ?? 0, bytes.length - data.length - 10);
  return bytes;
}

const ANSWERS: readonly Buffer[] = [
  answerOf('A', [
    { type: 'CNAME', name: 'api.allowed.test', ttl: 60, data: 'edge.cdn.test' },
    { type: 'A', name: 'edge.cdn.test', ttl: 30, data: '198.18.0.1' },
    { type: 'A', name: 'edge.cdn.test', ttl: 30, data: FORBIDDEN_ADDRESS },
    { type: 'A', name: 'elsewhere.test', ttl: 30, data: '198.18.66.66' },
  ]),
  answerOf('AAAA', [
    { type: 'AAAA', name: 'api.allowed.test', ttl: 60, data: '2001:2::1' },
    { type: 'AAAA', name: 'api.allowed.test', ttl: 60, data: '::ffff:169.254.169.254' },
  ]),
  answerOf('SRV', [
    { type: 'SRV', name: 'api.allowed.test', ttl: 60, data: { port: 5432, target: 'db.allowed.test' } },
  ]),
  answerOf('MX', [
    { type: 'MX', name: 'api.allowed.test', ttl: 60, data: { preference: 1, exchange: 'allowed.test' } },
  ]),
  answerOf(
    'A',
    [],
    [
      {
        type: 'SOA',
        name: 'allowed.test',
        ttl: 60,
        data: { mname: 'ns.allowed.test', rname: 'root.allowed.test', serial: 1 },
      },
    ],
  ),
  httpsAnswer(),
];

/** As a strict client reads it. Throws where it cannot. */
function decode(bytes: Buffer): DecodedPacket {
  const packet = dnsPacket.decode(bytes);
  if (dnsPacket.decode.bytes !== bytes.length) throw new Error('bytes after the answer');
  return packet;
}

const SILENT = { ask: () => Promise.reject<Message>(new Error('silent')) };

describe('a query', () => {
  it.each(QUERIES.map((bytes, index) => [index, bytes] as const))('%i is none until its last byte', (_index, bytes) => {
    for (let length = 0; length < bytes.length; length += 1)
      expect(parseQuery(bytes.subarray(0, length)).ok, `${length} bytes`).toBe(false);
    expect(parseQuery(bytes).ok).toBe(true);
  });

  it(
    'mutated asks for nothing that is not allowed, under no other name than another reader sees',
    { timeout: 5000 + FUZZ_ITERATIONS * 5 },
    async () => {
      const random = createRandom(0xd115);
      let askedInAll = 0;
      for (let iteration = 0; iteration < FUZZ_ITERATIONS; iteration += 1) {
        const bytes = mutate(QUERIES[random(QUERIES.length)] ?? Buffer.alloc(0), random);
        const seen = `iteration ${iteration}: ${bytes.toString('hex')}`;
        const { proxy, asked } = createDnsStage(SILENT);
        const transport = random(2) === 0 ? 'udp' : 'tcp';
        const reply = await proxy.answer(Buffer.from(bytes), transport, ADDRESSED);
        askedInAll += asked.length;
        for (const query of asked) {
          expect(isAllowed(query.split(' ')[0] ?? ''), seen).toBe(true);
          expect(query.split(' ')[0], seen).toBe(dnsPacket.decode(bytes).questions?.[0]?.name.toLowerCase());
        }
        if (reply === undefined) continue;
        const packet = decode(reply);
        expect([packet.type, packet.id, packet.answers], seen).toEqual(['response', bytes.readUInt16BE(0), []]);
      }
      // most mutations leave no query: the rest must be enough to say something
      expect(askedInAll).toBeGreaterThan(FUZZ_ITERATIONS / 50);
    },
  );
});

/** Asks for what the answer is to, of a resolver that gives these bytes. */
async function pass(bytes: Buffer, question: Pick<Message['question'], 'type'>): Promise<DnsStage & { reply: Buffer }> {
  const stage = createDnsStage({
    ask(name, type) {
      const message = parseAnswer(bytes);
      // as the client does
      const isIt = message?.question.name === name && message.question.type === type && !message.truncated;
      return isIt ? Promise.resolve(message) : Promise.reject(new Error('not the answer'));
    },
  });
  const query = queryOf('api.allowed.test', 'A', true);
  query.writeUInt16BE(question.type, 12 + 'api.allowed.test'.length + 2);
  const reply = await stage.proxy.answer(query, 'tcp', ADDRESSED);
  if (reply === undefined) throw new Error('no reply');
  return { ...stage, reply };
}

function typeOf(bytes: Buffer): number {
  return bytes.readUInt16BE(12 + 'api.allowed.test'.length + 2);
}

function parametersOf(data: Buffer): number[] {
  const keys: number[] = [];
  let at = readName(data, 2, false)?.end ?? data.length;
  while (at < data.length) {
    keys.push(data.readUInt16BE(at));
    at += 4 + data.readUInt16BE(at + 2);
  }
  return keys;
}

/** What holds for whatever a resolver says. Throws or fails where it does not. */
function checkReply(reply: Buffer, seen: string): Message {
  decode(reply);
  const message = parseAnswer(reply);
  if (message === undefined) throw new Error(`malformed reply, ${seen}`);
  const owners = new Set([message.question.name]);
  for (const record of message.answers) {
    expect(owners.has(record.name), seen).toBe(true);
    if (record.type === TYPES['CNAME']) owners.add(readName(record.data, 0, false)?.name ?? '');
    if (record.type === TYPES['A']) expect([...record.data].join('.'), seen).not.toBe(FORBIDDEN_ADDRESS);
    if (record.type === TYPES['AAAA']) expect(record.data.toString('hex'), seen).not.toMatch(/^0{20}ffffa9fea9fe$/);
    if (record.type === TYPES['HTTPS']) expect(parametersOf(record.data), seen).not.toContain(5);
  }
  return message;
}

describe('an answer', () => {
  it.each(ANSWERS.map((bytes, index) => [index, bytes] as const))('%i passes whole, cleaned', async (index, bytes) => {
    const { reply, bindings } = await pass(bytes, { type: typeOf(bytes) });
    const { rcode, answers } = checkReply(reply, 'whole');
    expect([rcode, answers.length]).toEqual([0, [2, 1, 1, 1, 0, 1][index]]);
    const bound = bindings.serialize().map(({ name, address }) => `${name} ${address}`);
    expect(bound).toEqual(
      [['198.18.0.1'], ['2001:2::1'], [], [], [], ['198.18.0.1']][index]?.map((text) => `api.allowed.test ${text}`),
    );
  });

  it.each(ANSWERS.map((bytes, index) => [index, bytes] as const))('%i cut at any byte is none', (_index, bytes) => {
    const { answers, authorities } = dnsPacket.decode(bytes);
    const records = (answers?.length ?? 0) + (authorities?.length ?? 0);
    // the additional section is not read: to cut it off is to lose nothing
    const end = bytes.length - (bytes.readUInt16BE(10) === 1 ? 11 : 0);
    expect(records).toBeGreaterThan(0);
    for (let length = 0; length < end; length += 1)
      expect(parseAnswer(bytes.subarray(0, length)), `${length} bytes`).toBeUndefined();
    expect(parseAnswer(bytes.subarray(0, end))).toBeDefined();
  });

  it(
    'mutated lets through no forbidden address, no ECH and nothing outside the chain',
    { timeout: 5000 + FUZZ_ITERATIONS * 5 },
    async () => {
      const random = createRandom(0xa25e);
      let passed = 0;
      for (let iteration = 0; iteration < FUZZ_ITERATIONS; iteration += 1) {
        const original = ANSWERS[random(ANSWERS.length)] ?? Buffer.alloc(0);
        const bytes = mutate(original, random);
        const { reply } = await pass(bytes, { type: typeOf(original) });
        const message = checkReply(reply, `iteration ${iteration}: ${bytes.toString('hex')}`);
        if (message.answers.length > 0) passed += 1;
      }
      expect(passed).toBeGreaterThan(FUZZ_ITERATIONS / 50);
    },
  );
});
