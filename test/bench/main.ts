/**
 * `node test/bench/main.ts`: Sallyport beside the proxies people use, in one run, on one machine (docs/benchmarks.md).
 * A peer that lacks its program is skipped with the reason; one that fails the gate is not measured. Exits with 1 when
 * Sallyport itself fails the gate or a measurement breaks, never for a missed target: those are printed.
 */
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { countRecords, passGate } from './gate.ts';
import type { Round } from './load.ts';
import { describeMachine, type Machine } from './machine.ts';
import { measureFirstByte, measureLoad, measureMemory, type Peers, type Rounds } from './measure.ts';
import { joinOrigin, openSpace, ORIGIN_ADDRESS, prepareOriginSpace, type Space } from './network.ts';
import { openOrigin, type Origin } from './origin.ts';
import { direct } from './peers/direct.ts';
import { envoy } from './peers/envoy.ts';
import { haproxy } from './peers/haproxy.ts';
import type { OpenPeer, Peer, PeerName } from './peers/peer.ts';
import { sallyport, SOURCE_ENTRY } from './peers/sallyport.ts';
import { squid } from './peers/squid.ts';
import { renderJson, renderText, type DecideTime, type PeerNote, type Results, type Skip } from './report.ts';
import { measureStartup } from './startup.ts';

const PARTS = ['memory', 'http', 'connections', 'startup', 'decide'] as const;
type Part = (typeof PARTS)[number];

const USAGE = `usage: node test/bench/main.ts [options]
  --rounds N        rounds of each measurement (default 5)
  --seconds S       whole seconds of load a round (default 2)
  --only PART,…     of ${PARTS.join(', ')}
  --peers NAME,…    of direct, haproxy, envoy, squid, sallyport
  --entry FILE      what starts Sallyport (default cmd/sallyport.ts)
  --output text|json`;

interface Options {
  readonly rounds: number;
  readonly seconds: number;
  readonly parts: ReadonlySet<Part>;
  readonly peers: ReadonlySet<string> | undefined;
  readonly entry: string;
  readonly output: 'text' | 'json';
}

/** Throws with what is wrong with the options. */
function readOptions(): Options | 'help' {
  const text = { type: 'string' } as const;
  const { values } = parseArgs({
    options: {
      rounds: text,
      seconds: text,
      only: text,
      peers: text,
      entry: text,
      output: text,
      help: { type: 'boolean' },
    },
  });
  if (values.help) return 'help';
  const output = values.output ?? 'text';
  if (output !== 'text' && output !== 'json') throw new Error(`--output ${output}: text or json`);
  const named = values.only?.split(',') ?? PARTS;
  const parts = new Set(PARTS.filter((part) => named.includes(part)));
  if (parts.size !== named.length) throw new Error(`--only ${named.join(',')}: of ${PARTS.join(', ')}`);
  return {
    rounds: positive('--rounds', values.rounds ?? '5'),
    seconds: positive('--seconds', values.seconds ?? '2'),
    parts,
    peers: values.peers === undefined ? undefined : new Set(values.peers.toLowerCase().split(',')),
    entry: values.entry === undefined ? SOURCE_ENTRY : resolve(values.entry),
    output,
  };
}

function positive(option: string, value: string): number {
  if (!/^[1-9]\d{0,3}$/.test(value)) throw new Error(`${option} ${value}: a whole number from 1`);
  return Number(value);
}

/** Set by Ctrl-C: what breaks from then on is no news. */
let interrupted = false;

/** Whatever was opened and must be closed, in the order of opening. */
type Closers = (() => Promise<void>)[];

async function closeAll(closers: Closers): Promise<void> {
  for (let close = closers.pop(); close !== undefined; close = closers.pop()) await close();
}

const progress = (text: string): void => {
  if (!interrupted) process.stderr.write(`bench: ${text}\n`);
};
const message = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** The measurements that need proxies, and the peers that passed the gate. */
type Proxied = Pick<Results, 'peers' | 'http' | 'connections' | 'firstByteUs' | 'memory' | 'recordedShare'>;

async function measureProxied(
  options: Options,
  machine: Machine,
  directory: string,
  skips: Skip[],
  closers: Closers,
): Promise<Proxied> {
  const { network, origin } = await openNetwork(machine, directory, closers);
  const peers = new Map<PeerName, OpenPeer>();
  const notes: PeerNote[] = [];
  const all: readonly Peer[] = [direct, haproxy, envoy, squid, sallyport(options.entry)];
  for (const [index, peer] of all.entries()) {
    if (options.peers?.has(peer.name.toLowerCase()) === false) continue;
    progress(`${peer.name}: start and gate`);
    const opened = await openPeer(peer, index + 1, network, machine, directory, closers).catch((error: unknown) => {
      skips.push({ what: peer.name, because: message(error) });
      return undefined;
    });
    if (opened === undefined) continue;
    const problems = await passGate(opened, origin, `gate-${String(index)}`);
    if (problems.length > 0) {
      if (peer.name === 'direct') throw new Error(`the benchmark's own origin: ${problems.join('; ')}`);
      skips.push({ what: peer.name, because: `it failed the gate: ${problems.join('; ')}` });
      continue;
    }
    peers.set(peer.name, opened);
    notes.push({ name: peer.name, version: opened.version, records: peer.records });
  }
  const foreignBefore = origin.foreign().length;
  const { rounds, seconds, parts } = options;

  // Memory first: what a load leaves in a heap is no idle figure.
  if (parts.has('memory')) progress('memory');
  const memory = parts.has('memory') ? await measureMemory(peers) : undefined;
  if (parts.has('http')) progress(`judged HTTP, ${String(rounds)} rounds`);
  const recordsBefore = new Map([...peers].map(([name, peer]) => [name, countRecords(peer.recordFile)]));
  const http = parts.has('http') ? await measureLoad(peers, rounds, seconds, 'kept') : undefined;
  if (parts.has('connections')) progress(`new connections, ${String(rounds)} rounds`);
  const connections = parts.has('connections') ? await measureLoad(peers, rounds, seconds, 'new') : undefined;
  const recordedShare = shareRecorded(peers, recordsBefore, [http, connections]);
  const firstByteUs = parts.has('connections') ? await measureFirstByte(peers, rounds) : undefined;

  const foreign = origin.foreign().slice(foreignBefore);
  if (foreign.length > 0) throw new Error(`under load there arrived at the origin: ${foreign.slice(0, 3).join('; ')}`);
  return { peers: notes, memory, http, connections, firstByteUs, recordedShare };
}

/** The share of the load that each peer has recorded: one that records nothing has less to do. */
function shareRecorded(
  peers: Peers,
  before: ReadonlyMap<PeerName, number>,
  loads: readonly (Rounds<Round> | undefined)[],
): ReadonlyMap<PeerName, number> {
  const shares = new Map<PeerName, number>();
  for (const [name, { recordFile }] of peers) {
    const rounds = loads.flatMap((load) => load?.get(name) ?? []);
    const requests = rounds.reduce((sum, round) => sum + round.requests, 0);
    if (recordFile === undefined || requests === 0) continue;
    shares.set(name, (countRecords(recordFile) - (before.get(name) ?? 0)) / requests);
  }
  return shares;
}

interface Network {
  readonly originSpace: Space;
  readonly resolvConf: string;
}

async function openNetwork(
  machine: Machine,
  directory: string,
  closers: Closers,
): Promise<{ readonly network: Network; readonly origin: Origin }> {
  const resolvConf = join(directory, 'resolv.conf');
  writeFileSync(resolvConf, `nameserver ${ORIGIN_ADDRESS}\n`);
  const originSpace = await openSpace(resolvConf);
  closers.push(originSpace.close);
  await prepareOriginSpace(originSpace);
  const origin = await openOrigin(originSpace, machine.layout.origin, directory);
  closers.push(origin.close);
  return { network: { originSpace, resolvConf }, origin };
}

async function openPeer(
  peer: Peer,
  index: number,
  network: Network,
  machine: Machine,
  directory: string,
  closers: Closers,
): Promise<OpenPeer> {
  const own = join(directory, peer.name.toLowerCase());
  mkdirSync(own);
  chmodSync(own, 0o777);
  const space = await openSpace(network.resolvConf);
  closers.push(space.close);
  const box = await joinOrigin(network.originSpace, space, index);
  const { proxy: proxyCore, load: loadCore } = machine.layout;
  const opened = await peer.open(box, { directory: own, proxyCore, loadCore });
  closers.push(opened.close);
  return opened;
}

/** The policy's own micro-benchmark, loaded only when asked for. */
async function measureDecision(): Promise<readonly DecideTime[]> {
  const { measureDecide } = await import('./decide.ts');
  return measureDecide();
}

async function measureAll(options: Options, directory: string, closers: Closers): Promise<Results> {
  const machine = describeMachine();
  const skips: Skip[] = [];
  const nothing: Proxied = {
    peers: [],
    http: undefined,
    connections: undefined,
    firstByteUs: undefined,
    memory: undefined,
    recordedShare: new Map(),
  };
  let proxied = nothing;
  if (['memory', 'http', 'connections'].some((part) => options.parts.has(part as Part))) {
    if (process.getuid?.() === 0) {
      proxied = await measureProxied(options, machine, directory, skips, closers);
      await closeAll(closers);
    } else {
      skips.push({ what: 'memory, http, connections', because: 'the network of the peers needs root' });
    }
  }
  const attempt = async <T>(part: Part, measure: () => Promise<T>): Promise<T | undefined> => {
    if (!options.parts.has(part)) return undefined;
    progress(part);
    return measure().catch((error: unknown) => {
      skips.push({ what: part, because: message(error) });
      return undefined;
    });
  };
  const startup = await attempt('startup', () =>
    measureStartup(options.entry, directory, Math.max(10, options.rounds)),
  );
  const decide = await attempt('decide', measureDecision);
  const { entry, rounds, seconds } = options;
  return { machine, entry, rounds, seconds, skips, ...proxied, startup, decide };
}

async function run(options: Options): Promise<number> {
  const directory = mkdtempSync(join(tmpdir(), 'sallyport-bench-'));
  chmodSync(directory, 0o755); // Squid gives up root
  const closers: Closers = [];
  const removeDirectory = (): void => rmSync(directory, { recursive: true, force: true });
  const stop = (code: number): void => {
    interrupted = true;
    void closeAll(closers)
      .then(removeDirectory)
      .finally(() => process.exit(code));
  };
  process.once('SIGINT', () => stop(130));
  process.once('SIGTERM', () => stop(143));
  try {
    const results = await measureAll(options, directory, closers);
    process.stdout.write(`${options.output === 'json' ? renderJson(results) : renderText(results)}\n`);
    return results.skips.some((skip) => skip.what === 'Sallyport') ? 1 : 0;
  } finally {
    await closeAll(closers);
    removeDirectory();
  }
}

async function main(): Promise<number> {
  let options: Options | 'help';
  try {
    options = readOptions();
  } catch (error) {
    process.stderr.write(`bench: ${message(error)}\n${USAGE}\n`);
    return 2;
  }
  if (options === 'help') {
    process.stdout.write(`${USAGE}\n`);
    return 0;
  }
  try {
    return await run(options);
  } catch (error) {
    if (!interrupted) process.stderr.write(`bench: ${message(error)}\n`);
    return 1;
  }
}

process.exitCode = await main();
