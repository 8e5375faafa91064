/** The figures beside their targets: as one JSON document, or as tables to read. */
import type { Round } from './load.ts';
import type { Machine } from './machine.ts';
import { OPEN_CONNECTIONS, type MemoryUse, type Rounds } from './measure.ts';
import type { PeerName } from './peers/peer.ts';
import type { Startup } from './startup.ts';
import { median, medianRatio } from './statistics.ts';

export interface PeerNote {
  readonly name: PeerName;
  readonly version: string;
  readonly records: string;
}

export interface Skip {
  readonly what: string;
  readonly because: string;
}

export interface DecideTime {
  readonly rules: number;
  readonly ns: number;
}

/** What was measured; a part that was not asked for or skipped is undefined. */
export interface Results {
  readonly machine: Machine;
  readonly entry: string;
  readonly rounds: number;
  readonly seconds: number;
  readonly peers: readonly PeerNote[];
  readonly skips: readonly Skip[];
  readonly http: Rounds<Round> | undefined;
  readonly connections: Rounds<Round> | undefined;
  readonly firstByteUs: Rounds<number> | undefined;
  readonly memory: ReadonlyMap<PeerName, MemoryUse> | undefined;
  /** The share of the load's requests in a peer's records, 0 … 1. */
  readonly recordedShare: ReadonlyMap<PeerName, number>;
  readonly startup: Startup | undefined;
  readonly decide: readonly DecideTime[] | undefined;
}

export interface Target {
  readonly name: string;
  readonly bound: number;
  readonly atMost: boolean;
  readonly unit: string;
  /** undefined: not measured in this run. */
  readonly measured: number | undefined;
  readonly met: boolean | undefined;
}

/** The targets with what this run measured. Ratios of rates are of requests a proxy-core second, within a round. */
export function targets(results: Results): Target[] {
  const cpu = (name: PeerName): number[] =>
    (results.http?.get(name) ?? []).map((round) => round.requestsPerCpuSecond ?? NaN);
  const ratio = (name: PeerName): number => medianRatio(cpu('Sallyport'), cpu(name));
  const idle = results.memory?.get('Sallyport')?.idle;
  return [
    atLeast('judged HTTP over Envoy', 2.3, '×', ratio('Envoy')),
    atLeast('judged HTTP over HAProxy', 0.7, '×', ratio('HAProxy')),
    atMost('idle RSS', 60, 'MB', idle && idle.rssBytes / 1e6),
    atMost('idle private dirty', 25, 'MB', idle && idle.privateDirtyBytes / 1e6),
    atMost('start-up over the bare command', 250, 'ms', results.startup?.overMs),
    atMost('decide at 1,000 rules', 1000, 'ns', results.decide?.find((time) => time.rules === 1000)?.ns),
  ];
}

function atLeast(name: string, bound: number, unit: string, measured: number | undefined): Target {
  return judge({ name, bound, unit, atMost: false, measured });
}

function atMost(name: string, bound: number, unit: string, measured: number | undefined): Target {
  return judge({ name, bound, unit, atMost: true, measured });
}

function judge(target: Omit<Target, 'met'>): Target {
  const { measured, bound } = target;
  if (measured === undefined || Number.isNaN(measured)) return { ...target, measured: undefined, met: undefined };
  return { ...target, met: target.atMost ? measured <= bound : measured >= bound };
}

export function renderJson(results: Results): string {
  const plain = (_key: string, value: unknown): unknown =>
    value instanceof Map ? Object.fromEntries(value as ReadonlyMap<string, unknown>) : value;
  return JSON.stringify({ ...results, targets: targets(results) }, plain, 2);
}

export function renderText(results: Results): string {
  return [describe(results), ...sections(results), notes(results)].filter((part) => part !== '').join('\n\n');
}

function describe({ machine, entry }: Results): string {
  const { proxy, load, origin } = machine.layout;
  const layout = `proxy on core ${String(proxy)}, load on ${String(load)}, origin on ${String(origin)}`;
  const busy = machine.loadAverage > 0.5 ? ': other work disturbs this run' : '';
  return [
    `${machine.processor}, ${String(machine.cores)} cores (${layout}), ${String(machine.memoryGiB)} GiB`,
    `Linux ${machine.kernel}, Node ${machine.node}, Sallyport from ${entry}`,
    `load average at the start ${machine.loadAverage.toFixed(2)}${busy}`,
  ].join('\n');
}

function sections(results: Results): string[] {
  const how = `medians of ${String(results.rounds)} rounds of ${String(results.seconds)} s`;
  const parts: string[] = [];
  if (results.http) {
    parts.push(`Judged HTTP/1.1, 32 connections, 1 KB (${how})\n${loadTable(results.http)}`);
  }
  if (results.connections) {
    const extra = { title: 'first byte p50 µs', of: results.firstByteUs };
    parts.push(`New TCP connections, one request each (${how})\n${loadTable(results.connections, extra)}`);
  }
  if (results.memory) parts.push(`Memory of the proxy, MB\n${memoryTable(results.memory)}`);
  if (results.startup) {
    const { bareMs, boxMs, overMs, runs } = results.startup;
    parts.push(
      `Start-up (medians of ${String(runs)})\n  true ${bareMs.toFixed(1)} ms, in a box ${boxMs.toFixed(1)} ms: ${overMs.toFixed(1)} ms over`,
    );
  }
  if (results.decide) {
    const rows = results.decide.map((time) => [grouped(time.rules), time.ns.toFixed(0)]);
    parts.push(`decide\n${table(['rules', 'ns'], rows)}`);
  }
  parts.push(`Targets\n${targetTable(targets(results))}`);
  return parts;
}

function loadTable(
  rounds: Rounds<Round>,
  extra?: { readonly title: string; readonly of: Rounds<number> | undefined },
): string {
  const ours = rounds.get('Sallyport');
  const rows: string[][] = [];
  for (const [name, list] of rounds) {
    const rate = median(list.map((round) => round.requestsPerSecond));
    const cpu = median(list.map((round) => round.requestsPerCpuSecond ?? NaN));
    const busy = median(list.map((round) => round.busy ?? NaN));
    const ratio = medianRatio(
      (ours ?? []).map((round) => round.requestsPerCpuSecond ?? NaN),
      list.map((round) => round.requestsPerCpuSecond ?? NaN),
    );
    const row = [name, grouped(rate), percent(busy), grouped(cpu), fixed(ratio)];
    if (extra) row.push(grouped(median(extra.of?.get(name) ?? [])));
    rows.push(row);
  }
  const heads = ['', 'a second', 'proxy busy', 'a proxy-core second', 'Sallyport ×'];
  return table(extra ? [...heads, extra.title] : heads, rows);
}

function memoryTable(use: ReadonlyMap<PeerName, MemoryUse>): string {
  const mb = (bytes: number): string => (bytes / 1e6).toFixed(1);
  const rows = [...use].map(([name, { idle, open }]) => [
    name,
    mb(idle.rssBytes),
    mb(idle.privateDirtyBytes),
    mb(open.rssBytes),
    mb(open.privateDirtyBytes),
    ((open.rssBytes - idle.rssBytes) / 1024 / OPEN_CONNECTIONS).toFixed(1),
  ]);
  for (const [name, { processes, idleFirst }] of use) {
    if (processes > 1)
      rows.push([
        `  ${name}'s first process of ${String(processes)}`,
        mb(idleFirst.rssBytes),
        mb(idleFirst.privateDirtyBytes),
      ]);
  }
  const at = `at ${grouped(OPEN_CONNECTIONS)}`;
  return table(['', 'idle RSS', 'private dirty', `${at} RSS`, 'private dirty', 'KiB a connection'], rows);
}

function targetTable(list: readonly Target[]): string {
  const rows = list.map((target) => {
    const sign = target.atMost ? '≤' : '≥';
    const digits = target.unit === '×' ? 2 : 1;
    const measured =
      target.measured === undefined ? 'not measured' : `${target.measured.toFixed(digits)} ${target.unit}`;
    const outcome = target.met === undefined ? '' : target.met ? 'met' : 'MISSED';
    return [target.name, `${sign} ${String(target.bound)} ${target.unit}`, measured, outcome];
  });
  return table(['', 'target', 'measured', ''], rows);
}

function notes({ peers, skips, recordedShare }: Results): string {
  const lines = peers.map(({ name, version, records }) => {
    const share = recordedShare.get(name);
    const found = share === undefined ? '' : ` (found: ${(share * 100).toFixed(2)} %)`;
    return `${[name, version].join(' ').trim()} records ${records}${found}.`;
  });
  for (const skip of skips) lines.push(`${skip.what}: skipped, because ${skip.because}`);
  return lines.join('\n');
}

/** Columns as wide as their widest cell; the first to the left, the others to the right. */
export function table(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [heads, ...rows];
  const widths = heads.map((_head, column) => Math.max(...all.map((row) => row[column]?.length ?? 0)));
  const line = (row: readonly string[]): string =>
    row
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0)))
      .join('  ')
      .trimEnd();
  return all.map((row) => `  ${line(row)}`).join('\n');
}

const grouped = (value: number): string => (Number.isNaN(value) ? '–' : Math.round(value).toLocaleString('en-US'));
const percent = (value: number): string => (Number.isNaN(value) ? '–' : `${(value * 100).toFixed(0)} %`);
const fixed = (value: number): string => (Number.isNaN(value) ? '–' : value.toFixed(2));
