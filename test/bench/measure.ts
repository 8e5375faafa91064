/** The measurements behind proxies. Each goes round by round over all peers, in an order that turns, so that noise hits all alike. */
import { fileURLToPath } from 'node:url';
import { loadRound, type Connections, type Round } from './load.ts';
import { ORIGIN_NAME } from './network.ts';
import type { OpenPeer, PeerName } from './peers/peer.ts';
import { memory, type Memory } from './processes.ts';

export type Peers = ReadonlyMap<PeerName, OpenPeer>;
/** By round; the same index is the same round for every peer. */
export type Rounds<T> = ReadonlyMap<PeerName, readonly T[]>;

const REQUEST = `GET /1k HTTP/1.1\r\nHost: ${ORIGIN_NAME}\r\n`;
const client = (name: string): string => fileURLToPath(new URL(`clients/${name}.ts`, import.meta.url));

export function measureLoad(
  peers: Peers,
  rounds: number,
  seconds: number,
  connections: Connections,
): Promise<Rounds<Round>> {
  return interleave(peers, rounds, (peer) => loadRound(peer, seconds, connections));
}

/** Median time from connect to the first byte of the answer, µs, one connection at a time. */
export function measureFirstByte(peers: Peers, rounds: number): Promise<Rounds<number>> {
  const argv = [process.execPath, client('first-byte'), ORIGIN_NAME, `${REQUEST}Connection: close\r\n\r\n`, '300'];
  return interleave(peers, rounds, async (peer) => Number(await peer.shell.run(argv)));
}

export const OPEN_CONNECTIONS = 1000;

export interface MemoryUse {
  readonly processes: number;
  /** The first of its processes alone; the other figures are of all. */
  readonly idleFirst: Memory;
  readonly idle: Memory;
  /** With OPEN_CONNECTIONS connections open, each of which had a request answered. */
  readonly open: Memory;
}

export async function measureMemory(peers: Peers): Promise<ReadonlyMap<PeerName, MemoryUse>> {
  const use = new Map<PeerName, MemoryUse>();
  for (const [name, peer] of peers) {
    if (peer.pids().length === 0) continue;
    const pids = peer.pids();
    const idle = memory(pids);
    const idleFirst = memory(pids.slice(0, 1));
    let open: Memory | undefined;
    const argv = [process.execPath, client('hold'), ORIGIN_NAME, `${REQUEST}\r\n`, String(OPEN_CONNECTIONS)];
    await peer.shell.run(argv, (line) => {
      if (line === `open ${String(OPEN_CONNECTIONS)}`) open = memory(peer.pids());
      return Promise.resolve('close\n');
    });
    if (open === undefined) throw new Error(`${name} did not keep ${String(OPEN_CONNECTIONS)} connections open`);
    use.set(name, { processes: pids.length, idleFirst, idle, open });
  }
  return use;
}

async function interleave<T>(peers: Peers, rounds: number, once: (peer: OpenPeer) => Promise<T>): Promise<Rounds<T>> {
  const results = new Map<PeerName, T[]>();
  const order = [...peers];
  for (let round = 0; round < rounds; round++) {
    for (const [name, peer] of order) {
      const list = results.get(name) ?? [];
      list.push(
        await once(peer).catch((cause: unknown) => {
          throw new Error(`${name}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
        }),
      );
      results.set(name, list);
    }
    order.push(...order.splice(0, 1));
  }
  return results;
}
