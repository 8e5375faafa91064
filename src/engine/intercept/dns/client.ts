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
import { encodeQuery, parseAnswer, RCODE, type Message } from './wire.ts';

export interface DnsClientParts {
  readonly resolvers: readonly Endpoint[];
  readonly openUdp: (family: 4 | 6) => dgram.Socket;
  readonly connectTcp: (to: Endpoint) => net.Socket;
  readonly nowMs?: () => number;
}

export interface DnsClient {
  /** The answer with the TTLs that are left of it. */
  ask(name: string, type: number): Promise<Message>;
}

const TRY_MS = 2_000;
const ROUNDS = 2;
const MAX_CACHED = 4_096;
const MAX_TTL_MS = 300_000;
const NEGATIVE_TTL_MS = 5_000;

interface Cached {
  readonly message: Message;
  readonly storedMs: number;
}

export function createDnsClient(parts: DnsClientParts): DnsClient {
  const nowMs = parts.nowMs ?? Date.now;
  const cache = new LRUCache<string, Cached>({ max: MAX_CACHED });
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
        if (message.rcode === RCODE.SERVFAIL || message.rcode === RCODE.REFUSED) {
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
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        settle(() => {
          reject(new Error('the DNS server did not answer'));
        });
      }, TRY_MS);
      function settle(act: () => void): void {
        clearTimeout(timer);
        socket.removeAllListeners('message');
        socket.close();
        act();
      }
      socket.once('error', (error) => {
        settle(() => {
          reject(error);
        });
      });
      socket.on('message', (bytes) => {
        const message = parseAnswer(bytes);
        // somebody guessing, or a late answer: the right one may still come
        if (message === undefined || !answers(message, id, name, type)) return;
        settle(() => {
          resolve(message);
        });
      });
      // connected: the kernel takes datagrams of that server only
      socket.connect(server.port, server.address.text, () => {
        socket.send(encodeQuery(id, name, type));
      });
    });
  }

  function askByTcp(server: Endpoint, name: string, type: number): Promise<Message> {
    const id = randomInt(0x10000);
    const socket = parts.connectTcp(server);
    return new Promise((resolve, reject) => {
      const query = encodeQuery(id, name, type);
      const prefix = Buffer.alloc(2);
      prefix.writeUInt16BE(query.length);
      let received = Buffer.alloc(0);
      socket.setTimeout(TRY_MS, () => socket.destroy(new Error('the DNS server did not answer')));
      socket.on('error', reject);
      socket.on('close', () => {
        reject(new Error('the DNS server closed'));
      });
      socket.on('data', (bytes) => {
        received = Buffer.concat([received, bytes]);
        if (received.length < 2 || received.length < 2 + received.readUInt16BE(0)) return;
        const message = parseAnswer(received.subarray(2, 2 + received.readUInt16BE(0)));
        if (message !== undefined && answers(message, id, name, type)) resolve(message);
        socket.destroy();
      });
      socket.write(Buffer.concat([prefix, query]));
    });
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

function keepMs(message: Message): number {
  if (message.rcode !== RCODE.NOERROR && message.rcode !== RCODE.NXDOMAIN) return 0;
  if (message.answers.length === 0) return NEGATIVE_TTL_MS;
  return Math.min(MAX_TTL_MS, ...message.answers.map((record) => record.ttl * 1000));
}

function aged({ message, storedMs }: Cached, now: number): Message {
  const age = Math.floor((now - storedMs) / 1000);
  return { ...message, answers: message.answers.map((record) => ({ ...record, ttl: Math.max(0, record.ttl - age) })) };
}
