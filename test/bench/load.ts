/** One round of load: wrk in the box, and the CPU time that the proxy spent on it. */
import { ORIGIN_NAME } from './network.ts';
import type { OpenPeer } from './peers/peer.ts';
import { cpuSeconds } from './processes.ts';

export interface Round {
  readonly requests: number;
  readonly requestsPerSecond: number;
  /** Requests a second of the proxy's CPU time; undefined without a proxy. */
  readonly requestsPerCpuSecond: number | undefined;
  /** The share of its core that the proxy was busy. Well under 1: not the proxy but the load's core was the limit. */
  readonly busy: number | undefined;
}

export type Connections = 'kept' | 'new';

/** Throws when requests fail: a rate of errors is no rate. */
export async function loadRound(peer: OpenPeer, seconds: number, connections: Connections): Promise<Round> {
  const argv = ['wrk', '-t1', '-c32', `-d${String(seconds)}s`];
  if (connections === 'new') argv.push('-H', 'Connection: close');
  const pids = peer.pids();
  const before = cpuSeconds(pids);
  const report = readReport(await peer.shell.run([...argv, `http://${ORIGIN_NAME}/1k`]));
  const cpu = cpuSeconds(pids) - before;
  const proxied = pids.length > 0 && cpu > 0;
  return {
    requests: report.requests,
    requestsPerSecond: report.requests / report.seconds,
    requestsPerCpuSecond: proxied ? report.requests / cpu : undefined,
    busy: proxied ? cpu / report.seconds : undefined,
  };
}

export interface Report {
  readonly requests: number;
  readonly seconds: number;
}

/** What wrk prints. Throws where more than one request in a thousand failed, or any was answered by other than 2xx. */
export function readReport(text: string): Report {
  const total = /(\d+) requests in ([\d.]+)(us|ms|s|m)\b/.exec(text);
  if (total === null) throw new Error(`no report of wrk: ${text}`);
  const requests = Number(total[1]);
  const unit = { us: 1e-6, ms: 1e-3, s: 1, m: 60 }[total[3] ?? ''] ?? NaN;
  const refused = Number(/Non-2xx or 3xx responses: (\d+)/.exec(text)?.[1] ?? 0);
  const errors = /Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)/.exec(text)?.slice(1) ?? [];
  const failed = errors.reduce((sum, count) => sum + Number(count), 0);
  if (requests === 0 || refused > 0 || failed * 1000 > requests) throw new Error(`requests failed under load: ${text}`);
  return { requests, seconds: Number(total[2]) * unit };
}
