import dgram from 'node:dgram';
import { once } from 'node:events';
import net from 'node:net';
import dnsPacket, { type Answer, type DecodedPacket } from 'dns-packet';
import { afterEach, describe, expect, it } from 'vitest';
import type { Endpoint } from '../../../platform/pure/endpoint.ts';
import { parseAddress } from '../../../platform/pure/address.ts';
import { createDnsClient, type DnsClient } from './client.ts';
import { TYPES } from './wire.ts';

const A = TYPES['A'] ?? 0;
/** Long enough for a server of this process on a busy machine. */
const TRY_MS = 1_000;
const IMPATIENT_MS = 250;
const START_MS = 1_000_000;

interface Heard {
  readonly packet: DecodedPacket;
  readonly fromPort: number;
  readonly reply: (bytes: Buffer) => void;
}

/** A DNS server of this process, a fake: it says over UDP what the test tells it to say. */
interface FakeServer {
  readonly endpoint: Endpoint;
  readonly heard: Heard[];
}

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

function loopback(port: number, text = '127.0.0.1'): Endpoint {
  const address = parseAddress(text);
  if (address === undefined) throw new Error(text);
  return { address, port };
}

async function fakeServer(onQuery: (heard: Heard, count: number) => void): Promise<FakeServer> {
  const socket = dgram.createSocket('udp4');
  const heard: Heard[] = [];
  socket.on('message', (bytes, from) => {
    const query: Heard = {
      packet: dnsPacket.decode(bytes),
      fromPort: from.port,
      reply: (answer) => {
        socket.send(answer, from.port, from.address);
      },
    };
    heard.push(query);
    onQuery(query, heard.length);
  });
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  closers.push(() => socket.close());
  return { endpoint: loopback(socket.address().port), heard };
}

function answerTo(
  { packet }: Pick<Heard, 'packet'>,
  answers: Answer[],
  { rcode = 0, truncated = false, id = packet.id ?? 0, name = packet.questions?.[0]?.name ?? '' } = {},
): Buffer {
  return dnsPacket.encode({
    type: 'response',
    id,
    flags: rcode | (truncated ? dnsPacket.TRUNCATED_RESPONSE : 0),
    questions: [{ type: packet.questions?.[0]?.type ?? 'A', name }],
    answers,
  });
}

function address(data: string, ttl = 30): Answer {
  return { type: 'A', name: 'a.test', ttl, data };
}

interface ClientOptions {
  readonly nowMs?: () => number;
  readonly tryMs?: number;
  /** Where TCP leads instead of the server's own port. */
  readonly tcpPort?: number;
}

function clientOf(resolvers: readonly Endpoint[], { tcpPort, ...options }: ClientOptions = {}): DnsClient {
  return createDnsClient({
    resolvers,
    openUdp: (family) => dgram.createSocket(family === 4 ? 'udp4' : 'udp6'),
    connectTcp: (to) => net.connect({ host: to.address.text, port: tcpPort ?? to.port }),
    tryMs: TRY_MS,
    ...options,
  });
}

async function addressesOf(client: DnsClient, name = 'a.test'): Promise<string[]> {
  return (await client.ask(name, A)).answers.map((record) => [...record.data].join('.'));
}

describe('the DNS client', () => {
  it('says name and type, and nothing else', async () => {
    const server = await fakeServer((heard) => {
      heard.reply(answerTo(heard, [address('198.18.0.1')]));
    });
    expect(await addressesOf(clientOf([server.endpoint]))).toEqual(['198.18.0.1']);
    expect(server.heard[0]?.packet).toMatchObject({
      opcode: 'QUERY',
      flag_rd: true,
      questions: [{ name: 'a.test', type: 'A', class: 'IN' }],
      answers: [],
      authorities: [],
      additionals: [{ type: 'OPT', options: [], flags: 0 }],
    });
  });

  it('asks each time from another port, with another id', async () => {
    const server = await fakeServer((heard) => {
      heard.reply(answerTo(heard, [address('198.18.0.1')]));
    });
    const client = clientOf([server.endpoint]);
    const names = Array.from({ length: 16 }, (_, index) => `n${index}.test`);
    await Promise.all(names.map((name) => client.ask(name, A)));
    expect(new Set(server.heard.map(({ fromPort }) => fromPort)).size).toBe(16);
    // 16 of 65,536: two alike once in 500 runs, ten never
    expect(new Set(server.heard.map(({ packet }) => packet.id)).size).toBeGreaterThan(10);
  });

  it('takes no answer with another id, to another question, that is malformed, or from another port', async () => {
    const stranger = dgram.createSocket('udp4');
    closers.push(() => stranger.close());
    const server = await fakeServer((heard) => {
      const forged = [address('198.18.66.66')];
      heard.reply(answerTo(heard, forged, { id: ((heard.packet.id ?? 0) + 1) & 0xffff }));
      heard.reply(answerTo(heard, forged, { name: 'b.test' }));
      heard.reply(answerTo(heard, forged).subarray(0, -1));
      heard.reply(Buffer.from('garbage'));
      stranger.send(answerTo(heard, forged), heard.fromPort, '127.0.0.1', () => {
        heard.reply(answerTo(heard, [address('198.18.0.1')]));
      });
    });
    expect(await addressesOf(clientOf([server.endpoint]))).toEqual(['198.18.0.1']);
  });

  it('asks again over TCP for what does not fit a datagram', async () => {
    const server = await fakeServer((heard) => {
      heard.reply(answerTo(heard, [], { truncated: true }));
    });
    const many = Array.from({ length: 200 }, (_, index) => address(`198.18.1.${index}`));
    const tcpPort = await tcpServer((socket, query) => {
      const reply = answerTo({ packet: query }, many);
      socket.write(Buffer.from([reply.length >> 8]));
      socket.write(Buffer.from([reply.length & 255]));
      setTimeout(() => socket.write(reply), 5);
    });
    expect(await addressesOf(clientOf([server.endpoint], { tcpPort }))).toHaveLength(200);
  });

  it('waits for a server that drips no longer than for one that is silent', async () => {
    const server = await fakeServer((heard) => {
      heard.reply(answerTo(heard, [], { truncated: true }));
    });
    const tcpPort = await tcpServer((socket) => {
      socket.write(Buffer.from([1, 0]));
      const drip = setInterval(() => socket.write(Buffer.from([0])), IMPATIENT_MS / 8);
      socket.on('close', () => {
        clearInterval(drip);
      });
    });
    const startedMs = Date.now();
    const client = clientOf([server.endpoint], { tcpPort, tryMs: IMPATIENT_MS });
    await expect(addressesOf(client)).rejects.toThrow('did not answer');
    // 256 bytes would take it 32 times as long as one try
    expect(Date.now() - startedMs).toBeLessThan(IMPATIENT_MS * 16);
  });

  it('goes to the next server when one is silent, in trouble or refuses, and stays with the one that answered', async () => {
    const silent = await fakeServer(() => undefined);
    const failing = await fakeServer((heard) => {
      heard.reply(answerTo(heard, [], { rcode: 2 }));
    });
    const good = await fakeServer((heard) => {
      heard.reply(answerTo(heard, [address('198.18.0.1')]));
    });
    const client = clientOf([silent.endpoint, failing.endpoint, good.endpoint]);
    expect(await addressesOf(client, 'a.test')).toEqual(['198.18.0.1']);
    expect([silent.heard.length, failing.heard.length]).toEqual([1, 1]);
    await addressesOf(client, 'b.test');
    expect([silent.heard.length, failing.heard.length, good.heard.length]).toEqual([1, 1, 2]);
  });

  it('asks twice around, then gives the failure that it heard', async () => {
    const failing = await fakeServer((heard) => {
      heard.reply(answerTo(heard, [], { rcode: 5 }));
    });
    expect((await clientOf([failing.endpoint]).ask('a.test', A)).rcode).toBe(5);
    expect(failing.heard).toHaveLength(2);
  });

  it('rejects where no server can be reached at all', async () => {
    // one may not even connect to the broadcast address: no event says so, the callback does
    await expect(clientOf([loopback(53, '255.255.255.255')]).ask('a.test', A)).rejects.toThrow();
    await expect(clientOf([]).ask('a.test', A)).rejects.toThrow('no DNS server');
    const good = await fakeServer((heard) => {
      heard.reply(answerTo(heard, [address('198.18.0.1')]));
    });
    expect(await addressesOf(clientOf([loopback(53, '255.255.255.255'), good.endpoint]))).toEqual(['198.18.0.1']);
  });

  it('asks once for what is asked several times at once', async () => {
    const server = await fakeServer((heard) => {
      heard.reply(answerTo(heard, [address('198.18.0.1')]));
    });
    const client = clientOf([server.endpoint]);
    await Promise.all([client.ask('a.test', A), client.ask('a.test', A), client.ask('a.test', TYPES['AAAA'] ?? 0)]);
    expect(server.heard.map(({ packet }) => packet.questions?.[0]?.type).sort()).toEqual(['A', 'AAAA']);
  });

  it('keeps an answer for its TTL, less the time that it was kept', async () => {
    let now = START_MS;
    const server = await fakeServer((heard, count) => {
      heard.reply(answerTo(heard, [address(`198.18.0.${count}`)]));
    });
    const client = clientOf([server.endpoint], { nowMs: () => now });
    await client.ask('a.test', A);
    now += 29_000;
    expect((await client.ask('a.test', A)).answers[0]?.ttl).toBe(1);
    expect(server.heard).toHaveLength(1);
    now += 1_001;
    expect(await addressesOf(client)).toEqual(['198.18.0.2']);
  });

  it('keeps nothing for TTL 0, and five minutes at most', async () => {
    let now = START_MS;
    const server = await fakeServer((heard) => {
      const isShort = heard.packet.questions?.[0]?.name === 'short.test';
      heard.reply(answerTo(heard, [address('198.18.0.1', isShort ? 0 : 86_400)]));
    });
    const client = clientOf([server.endpoint], { nowMs: () => now });
    for (const name of ['short.test', 'short.test', 'long.test', 'long.test']) await client.ask(name, A);
    expect(server.heard).toHaveLength(3);
    now += 300_001;
    await client.ask('long.test', A);
    expect(server.heard).toHaveLength(4);
  });

  it.each([
    ['no such name', 3, []],
    ['no record of the type', 0, []],
    ['an alias that ends nowhere', 3, [{ type: 'CNAME', name: 'a.test', ttl: 3_600, data: 'b.test' } as const]],
  ])('keeps %s for seconds', async (_what, rcode, records) => {
    let now = START_MS;
    const server = await fakeServer((heard) => {
      heard.reply(answerTo(heard, [...records], { rcode }));
    });
    const client = clientOf([server.endpoint], { nowMs: () => now });
    await client.ask('a.test', A);
    await client.ask('a.test', A);
    expect(server.heard).toHaveLength(1);
    now += 5_001;
    await client.ask('a.test', A);
    expect(server.heard).toHaveLength(2);
  });

  it('keeps no failure', async () => {
    const server = await fakeServer((heard, count) => {
      heard.reply(count <= 2 ? answerTo(heard, [], { rcode: 2 }) : answerTo(heard, [address('198.18.0.1')]));
    });
    const client = clientOf([server.endpoint]);
    expect((await client.ask('a.test', A)).rcode).toBe(2);
    expect(await addressesOf(client)).toEqual(['198.18.0.1']);
  });

  it('takes a TTL with its top bit set for zero', async () => {
    const server = await fakeServer((heard) => {
      const reply = answerTo(heard, [address('198.18.0.1')]);
      reply.writeUInt32BE(0xffffffff, reply.length - 10);
      heard.reply(reply);
    });
    expect((await clientOf([server.endpoint]).ask('a.test', A)).answers[0]?.ttl).toBe(0);
  });
});

async function tcpServer(onQuery: (socket: net.Socket, query: DecodedPacket) => void): Promise<number> {
  const server = net.createServer((socket) => {
    closers.push(() => socket.destroy());
    socket.on('error', () => undefined);
    socket.once('data', (bytes) => {
      onQuery(socket, dnsPacket.decode(bytes.subarray(2)));
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  closers.push(() => server.close());
  return (server.address() as net.AddressInfo).port;
}
