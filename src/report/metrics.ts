/**
 * Counters as plain numbers. An access costs one look-up by the identity of its verdict (verdicts are made once a deciding
 * rule); labels and text are made when somebody reads. Every label is bounded: what would exceed a bound counts as `other`.
 */
import type { ClassName } from '../model/access.ts';
import type { Verdict } from '../model/verdict.ts';
import { decisiveJudgement, outcomeOf } from './record.ts';
import type { Outcome } from './record.ts';

export interface VerdictCount {
  readonly class: ClassName;
  readonly verdict: Outcome;
  readonly reason: string;
  /** Empty where no rule decided. */
  readonly policy: string;
  readonly rule: string;
  readonly count: number;
}

export interface MetricsReading {
  readonly verdicts: readonly VerdictCount[];
  readonly connectionsOpen: number;
  readonly connectionsTotal: number;
  readonly bytesUpstream: number;
  readonly bytesDownstream: number;
  readonly dnsQueries: ReadonlyMap<string, number>;
  readonly upstreamErrors: ReadonlyMap<string, number>;
  readonly recordsDropped: number;
  readonly snapshotVersion: string;
}

/** The counter of one class under one verdict; whoever judges adds to `count`. */
export interface VerdictCell {
  readonly class: ClassName;
  readonly outcome: Outcome;
  count: number;
}

export interface Metrics {
  readonly cellOf: (className: ClassName, verdict: Verdict) => VerdictCell;
  readonly connectionOpened: () => void;
  readonly connectionClosed: () => void;
  readonly bytes: (direction: 'upstream' | 'downstream', count: number) => void;
  readonly dnsQuery: (outcome: string) => void;
  readonly upstreamError: (kind: string) => void;
  readonly read: (recordsDropped: number, snapshotVersion: string) => MetricsReading;
}

const MAX_VERDICTS = 4096;
const MAX_SERIES = 10_000;
const MAX_LABEL_VALUES = 64;

export function createMetrics(): Metrics {
  const byVerdict = new Map<Verdict, VerdictCell[]>();
  const series = new Map<string, VerdictCount>();
  const dnsQueries = new Map<string, number>();
  const upstreamErrors = new Map<string, number>();
  let opened = 0;
  let closed = 0;
  let bytesUpstream = 0;
  let bytesDownstream = 0;

  function cellOf(className: ClassName, verdict: Verdict): VerdictCell {
    let cells = byVerdict.get(verdict);
    if (cells === undefined) {
      if (byVerdict.size >= MAX_VERDICTS) fold();
      cells = [];
      byVerdict.set(verdict, cells);
    }
    for (const cell of cells) if (cell.class === className) return cell;
    const cell: VerdictCell = { class: className, outcome: outcomeOf(verdict), count: 0 };
    cells.push(cell);
    return cell;
  }

  /** Moves the counts to their labels, and forgets the verdicts: those of an old snapshot are not kept alive. */
  function fold(): void {
    for (const [verdict, cells] of byVerdict) {
      const judgement = decisiveJudgement(verdict);
      for (const cell of cells) {
        if (cell.count === 0) continue;
        addSeries({
          class: cell.class,
          verdict: cell.outcome,
          reason: judgement.reason,
          policy: judgement.by?.policy ?? '',
          rule: judgement.by?.rule ?? '',
          count: cell.count,
        });
      }
    }
    byVerdict.clear();
  }

  function addSeries(counted: VerdictCount): void {
    const key = [counted.class, counted.verdict, counted.reason, counted.policy, counted.rule].join('\n');
    const known = series.get(key);
    if (known === undefined && series.size >= MAX_SERIES && counted.policy !== 'other') {
      addSeries({ ...counted, policy: 'other', rule: 'other' });
      return;
    }
    series.set(key, { ...counted, count: counted.count + (known?.count ?? 0) });
  }

  return {
    cellOf,
    connectionOpened() {
      opened += 1;
    },
    connectionClosed() {
      closed += 1;
    },
    bytes(direction, count) {
      if (direction === 'upstream') bytesUpstream += count;
      else bytesDownstream += count;
    },
    dnsQuery(outcome) {
      countLabel(dnsQueries, outcome);
    },
    upstreamError(kind) {
      countLabel(upstreamErrors, kind);
    },
    read(recordsDropped, snapshotVersion) {
      fold();
      return {
        verdicts: [...series.values()],
        connectionsOpen: opened - closed,
        connectionsTotal: opened,
        bytesUpstream,
        bytesDownstream,
        dnsQueries,
        upstreamErrors,
        recordsDropped,
        snapshotVersion,
      };
    },
  };
}

function countLabel(counts: Map<string, number>, label: string): void {
  const bounded = counts.has(label) || counts.size < MAX_LABEL_VALUES ? label : 'other';
  counts.set(bounded, (counts.get(bounded) ?? 0) + 1);
}
