/** DNS over TCP, however it arrives: split at each byte, pipelined, half-closed, cut off, garbage; and never more than is bounded. */
import type net from 'node:net';
import { duplexPair, type Duplex } from 'node:stream';
import { setImmediate as turn } from 'node:timers/promises';
import dnsPacket from 'dns-packet';
import { describe, expect, it } from 'vitest';
import { openDnsConversation } from '../../src/engine/intercept/dns/proxy.ts';
import type { Message, ResourceRecord } from '../../src/engine/intercept/dns/wire.ts';
import { ADDRESSED, createDnsStage, isAllowed } from './dns-stage.ts';
import { byteByByte, createRandom, FUZZ_ITERATIONS, mutate, splitAt } from './harness.ts';

const MAX_IN_FLIGHT = 100;

function framed(message: Buffer): Buffer {
  return Buffer.concat([Buffer.from([message.length >> 8, message.length & 255]), message]);
}

function query(id: number, name: string): Buffer {
  return framed(dnsPacket.encode({ type: 'query', id, questions: [{ type: 'A', name }] }));
}

const NAMES = ['one.allowed.test', 'evil.test', 'TWO.allowed.test'];
const PIPELINED = Buffer.concat(NAMES.map((name, index) => query(index + 1, name)));
const EXPECTED = ['1 NOERROR 198.18.0.1', '2 REFUSED ', '3 NOERROR 198.18.0.1'];

interface Conversation {
  readonly client: Duplex;
  readonly asked: readonly string[];
  /** Lets what waits upstream be answered. */
  readonly release: () => void;
  readonly received: () => Buffer;
  readonly state: () => 'open' | 'ended' | 'reset';
}

/** The application's end of a conversation that has no network in between. `hold`: the resolver answers on `release`. */
function open(hold = false): Conversation {
  const waiting: (() => void)[] = [];
  let held = hold;
  const answer = (name: string, type: number): Message => {
    const records: ResourceRecord[] = type === 1 ? [{ name, type, ttl: 60, data: Buffer.from([198, 18, 0, 1]) }] : [];
    return { id: 1, rcode: 0, truncated: false, question: { name, type }, answers: records, soa: undefined };
  };
  const { proxy, asked } = createDnsStage({
    ask: (name, type) =>
      new Promise((resolve) => {
        const settle = (): void => {
          resolve(answer(name, type));
        };
        if (held) waiting.push(settle);
        else settle();
      }),
  });
  const [client, server] = duplexPair();
  let state: ReturnType<Conversation['state']> = 'open';
  const received: Buffer[] = [];
  client.on('data', (bytes: Buffer) => received.push(bytes));
  client.on('error', () => undefined);
  server.on('finish', () => {
    if (state === 'open') state = 'ended';
  });
  server.on('error', () => undefined);
  // what a socket has beside a stream
  const socket = Object.assign(server, {
    setTimeout: () => server,
    resetAndDestroy: () => {
      state = 'reset';
      return server.destroy();
    },
  });
  openDnsConversation(proxy, ADDRESSED, socket as unknown as net.Socket);
  return {
    client,
    asked,
    release: () => {
      held = false;
      for (const settle of waiting.splice(0)) settle();
    },
    received: () => Buffer.concat(received),
    state: () => state,
  };
}

/** Until all that was written has been dealt with: nothing here waits for anything but turns of the loop. */
async function settled(): Promise<void> {
  for (let count = 0; count < 6; count += 1) await turn();
}

async function send(conversation: Conversation, pieces: readonly Buffer[]): Promise<void> {
  for (const piece of pieces) {
    if (piece.length > 0) conversation.client.write(piece);
    await turn();
  }
  await settled();
}

/** `id rcode address` of each answer, in the order of ids. Throws when a frame is not whole. */
function repliesIn(bytes: Buffer): string[] {
  const replies: string[] = [];
  for (let at = 0; at < bytes.length;) {
    const end = at + 2 + bytes.readUInt16BE(at);
    if (end > bytes.length) throw new Error('half a frame');
    const packet = dnsPacket.decode(bytes.subarray(at + 2, end)) as dnsPacket.DecodedPacket & { rcode: string };
    const addresses = (packet.answers ?? []).map((record) => (record.type === 'A' ? record.data : record.type));
    replies.push(`${packet.id} ${packet.rcode} ${addresses.join(',')}`);
    at = end;
  }
  return replies.sort((a, b) => Number.parseInt(a) - Number.parseInt(b));
}

describe('DNS over TCP', () => {
  it('answers pipelined queries, split at any byte', async () => {
    for (let place = 0; place < PIPELINED.length; place += 1) {
      const conversation = open();
      await send(conversation, splitAt(PIPELINED, place));
      expect(repliesIn(conversation.received()), `split at ${place}`).toEqual(EXPECTED);
      expect(conversation.state()).toBe('open');
    }
  });

  it('answers what arrives byte by byte', async () => {
    const conversation = open();
    await send(conversation, byteByByte(PIPELINED));
    expect(repliesIn(conversation.received())).toEqual(EXPECTED);
  });

  it('does not let one that waits hold up the next', async () => {
    const conversation = open(true);
    await send(conversation, [PIPELINED]);
    expect(repliesIn(conversation.received())).toEqual(['2 REFUSED ']);
    conversation.release();
    await settled();
    expect(repliesIn(conversation.received())).toEqual(EXPECTED);
  });

  it('answers all of a half-closed conversation, then ends it', async () => {
    const conversation = open(true);
    await send(conversation, [PIPELINED]);
    conversation.client.end();
    await settled();
    expect(conversation.state()).toBe('open');
    conversation.release();
    await settled();
    expect(repliesIn(conversation.received())).toEqual(EXPECTED);
    expect(conversation.state()).toBe('ended');
  });

  it('ends what was cut off at any byte, and asks nothing of half a query', async () => {
    for (let length = 0; length < PIPELINED.length; length += 1) {
      const conversation = open();
      await send(conversation, [PIPELINED.subarray(0, length)]);
      conversation.client.end();
      await settled();
      expect(conversation.state(), `${length} bytes`).toBe('ended');
      const whole = repliesIn(conversation.received());
      expect(whole).toEqual(EXPECTED.slice(0, whole.length));
      expect(conversation.asked.length).toBe(whole.filter((reply) => reply.includes('NOERROR')).length);
    }
  });

  it('resets where a query has no length', async () => {
    const conversation = open();
    await send(conversation, [query(1, 'one.allowed.test'), Buffer.from([0, 0]), query(2, 'two.allowed.test')]);
    expect(conversation.state()).toBe('reset');
    expect(conversation.asked).toEqual(['one.allowed.test 1']);
  });

  it('says FORMERR to a query that is none, however large, and goes on', async () => {
    const conversation = open();
    const noise = Buffer.alloc(65_535, 0x41);
    await send(conversation, [framed(noise), query(1, 'one.allowed.test')]);
    expect(repliesIn(conversation.received())).toEqual(['1 NOERROR 198.18.0.1', `16705 FORMERR `]);
  });

  it('reads no more while too many wait, and takes up again', async () => {
    const conversation = open(true);
    const count = MAX_IN_FLIGHT * 3;
    const queries = Array.from({ length: count }, (_, index) => query(index, `n${index}.allowed.test`));
    await send(conversation, [Buffer.concat(queries.slice(0, MAX_IN_FLIGHT + 1)), ...queries.slice(MAX_IN_FLIGHT + 1)]);
    expect(conversation.asked).toHaveLength(MAX_IN_FLIGHT);
    conversation.client.end();
    conversation.release();
    for (let round = 0; round < 100 && conversation.state() === 'open'; round += 1) await settled();
    expect(repliesIn(conversation.received())).toHaveLength(count);
    expect(conversation.state()).toBe('ended');
  });

  it('resets a client that asks and never reads', async () => {
    const conversation = open();
    conversation.client.removeAllListeners('data');
    conversation.client.pause();
    const batch = Buffer.concat(Array.from({ length: 200 }, (_, id) => query(id, 'one.allowed.test')));
    for (let round = 0; round < 200 && conversation.state() === 'open'; round += 1) await send(conversation, [batch]);
    expect(conversation.state()).toBe('reset');
  });

  it(
    'comes to the same for garbage, however it is split, and asks for nothing that is not allowed',
    { timeout: 5000 + FUZZ_ITERATIONS * 10 },
    async () => {
      const random = createRandom(0x7c9);
      for (let iteration = 0; iteration < FUZZ_ITERATIONS / 10; iteration += 1) {
        const bytes = mutate(PIPELINED, random);
        const seen = `iteration ${iteration}: ${bytes.toString('hex')}`;
        const places = Array.from({ length: random(5) }, () => random(bytes.length + 1)).sort((a, b) => a - b);
        const [whole, split] = [open(), open()];
        await Promise.all([send(whole, [bytes]), send(split, splitAt(bytes, ...places))]);
        expect(split.state(), seen).toBe(whole.state());
        const [fewer = [], more = []] = [split.asked, whole.asked].sort((a, b) => a.length - b.length);
        expect(more.slice(0, fewer.length), seen).toEqual(fewer);
        // a reset overtakes answers, and queries that had not come yet
        if (whole.state() !== 'reset') {
          expect(fewer.length, seen).toBe(more.length);
          expect(repliesIn(split.received()), seen).toEqual(repliesIn(whole.received()));
        }
        for (const asked of more) expect(isAllowed(asked.split(' ')[0] ?? ''), seen).toBe(true);
      }
    },
  );
});
