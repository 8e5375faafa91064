/**
 * Our own resolver client, to our own resolvers: never getaddrinfo, never a server that the application chose. A fresh
 * socket (and so a fresh port) and a random id for each query; only the asked server's answer to the asked question counts.
 * Answers are kept for their TTL, at most a few minutes. No answer from any server: rejects.
 */
import { randomInt } from 'node:crypto';
import type dgram from 'node:dgram';
import type net from 'node:net';
import { LRUCache } from 'lru-cache';
import type { Endpoint } from '../../../platform/pure/endpoint.ts';
import { encodeQuery, parseAnswer, RCODE, TYPES, type Message } from './wire.ts';

export interface DnsClientParts {
  readonly resolvers: readonly Endpoint[];
  readonly openUdp: (family: 4 | 6) => dgram.Socket;
  readonly connectTcp: (to: Endpoint) => net.Socket;
  readonly nowMs?: () => number;
  /** How long one server is waited for. */
  readonly tryMs?: number;
}

export interface DnsClient {
  /** The answer with the TTLs that are left of it. */
  ask(name: string, type: number): Promise<Message>;
}

const TRY_MS = 2_000;
const ROUNDS = 2;
const MAX_CACHED = 4_096;
const MAX_CACHED_BYTES = 4 * 1024 * 1024;
/** What a cached record costs beside its data, about. */
const RECORD_BYTES = 200;
const MAX_TTL_MS = 300_000;
const NEGATIVE_TTL_MS = 5_000;

interface Cached {
  readonly message: Message;
  readonly storedMs: number;
}

export function createDnsClient(parts: DnsClientParts): DnsClient {
  const nowMs = parts.nowMs ?? Date.now;
  const tryMs = parts.tryMs ?? TRY_MS;
  const cache = new LRUCache<string, Cached>({
    max: MAX_CACHED,
    maxSize: MAX_CACHED_BYTES,
    sizeCalculation: sizeOf,
    perf: { now: nowMs },
    ttlResolution: 0,
  });
  const asking = new Map<string, Promise<Message>>();
  /** The server that answered last is asked first. */
  let preferred = 0;

  async function askServers(name: string, type: number): Promise<Message> {
    const count = parts.resolvers.length;
    let last: unknown;
    for (let attempt = 0; attempt < count * ROUNDS; attempt += 1) {
      const index = (preferred + attempt) % count;
      const server = parts.resolvers[index];
      if (server === undefined) break;
      try {
        let message = await askByUdp(server, name, type);
        if (message.truncated) message = await askByTcp(server, name, type);
        // a server in trouble: perhaps another is not
        if (message.rcode !== RCODE.NOERROR && message.rcode !== RCODE.NXDOMAIN) {
          last = message;
          continue;
        }
        preferred = index;
        return message;
      } catch (error) {
        last = error;
      }
    }
    if (last !== undefined && !(last instanceof Error)) return last as Message;
    throw last instanceof Error ? last : new Error('no DNS server');
  }

  function askByUdp(server: Endpoint, name: string, type: number): Promise<Message> {
    const id = randomInt(0x10000);
    const socket = parts.openUdp(server.address.family);
    const { promise, resolve, reject } = Promise.withResolvers<Message>();
    const timer = rejectInTime(reject);
    socket.on('error', reject);
    socket.on('message', (bytes) => {
      const message = parseAnswer(bytes);
      // else somebody guessing, or a late answer: the right one may still come
      if (message !== undefined && answers(message, id, name, type)) resolve(message);
    });
    const sent = (error?: Error | null): void => {
      if (error instanceof Error) reject(error);
    };
    // connected: the kernel takes datagrams of that server only. A failure comes to the callback, not as an event
    socket.connect(server.port, server.address.text, (error?: Error) => {
      if (error instanceof Error) reject(error);
      else socket.send(encodeQuery(id, name, type), sent);
    });
    return promise.finally(() => {
      clearTimeout(timer);
      socket.close();
    });
  }

  function askByTcp(server: Endpoint, name: string, type: number): Promise<Message> {
    const id = randomInt(0x10000);
    const socket = parts.connectTcp(server);
    const { promise, resolve, reject } = Promise.withResolvers<Message>();
    // for the whole of it: a server that drips holds nobody up
    const timer = rejectInTime(reject);
    const query = encodeQuery(id, name, type);
    const prefix = Buffer.alloc(2);
    prefix.writeUInt16BE(query.length);
    let received = Buffer.alloc(0);
    socket.on('error', reject);
    socket.on('close', () => {
      reject(new Error('the DNS server closed'));
    });
    socket.on('data', (bytes) => {
      received = Buffer.concat([received, bytes]);
      if (received.length < 2 || received.length < 2 + received.readUInt16BE(0)) return;
      const message = parseAnswer(received.subarray(2, 2 + received.readUInt16BE(0)));
      if (message !== undefined && !message.truncated && answers(message, id, name, type)) resolve(message);
      else reject(new Error('the DNS server answered something else'));
    });
    socket.write(Buffer.concat([prefix, query]));
    return promise.finally(() => {
      clearTimeout(timer);
      socket.destroy();
    });
  }

  function rejectInTime(reject: (error: Error) => void): NodeJS.Timeout {
    return setTimeout(() => {
      reject(new Error('the DNS server did not answer'));
    }, tryMs);
  }

  return {
    ask(name, type) {
      const key = `${name} ${type}`;
      const cached = cache.get(key);
      if (cached !== undefined) return Promise.resolve(aged(cached, nowMs()));
      let running = asking.get(key);
      if (running === undefined) {
        running = askServers(name, type)
          .then((message) => {
            const ttl = keepMs(message);
            if (ttl > 0) cache.set(key, { message, storedMs: nowMs() }, { ttl });
            return message;
          })
          .finally(() => asking.delete(key));
        asking.set(key, running);
      }
      return running;
    },
  };
}

function answers(message: Message, id: number, name: string, type: number): boolean {
  return message.id === id && message.question.name === name && message.question.type === type;
}

function keepMs({ rcode, question, answers: records }: Message): number {
  if (rcode !== RCODE.NOERROR && rcode !== RCODE.NXDOMAIN) return 0;
  // an alias that ends nowhere is as negative as nothing at all
  const positive = records.some(({ type }) => type === question.type || question.type === TYPES['ANY']);
  return Math.min(positive ? MAX_TTL_MS : NEGATIVE_TTL_MS, ...records.map((record) => record.ttl * 1000));
}

function sizeOf({ message }: Cached): number {
  return message.answers.reduce((sum, { data }) => sum + RECORD_BYTES + data.length, RECORD_BYTES);
}

function aged({ message, storedMs }: Cached, now: number): Message {
  const age = Math.floor((now - storedMs) / 1000);
  return { ...message, answers: message.answers.map((record) => ({ ...record, ttl: Math.max(0, record.ttl - age) })) };
}
