/**
 * The one thing that the engine tells: every verdict, and what else is counted. Input: accesses with their verdicts.
 * Output: records, metrics, the ring of the last denials, the summary. It never slows or fails an access: what cannot be
 * written is dropped and counted.
 */
import { randomBytes } from 'node:crypto';

import type { Access } from '../model/access.ts';
import type { Verdict } from '../model/verdict.ts';
import { createMetrics } from './metrics.ts';
import type { MetricsReading, VerdictCell } from './metrics.ts';
import { REASONS, remedyFor } from './reasons.ts';
import { buildRecord, decisiveJudgement, serializeRecord } from './record.ts';
import type { VerdictRecord } from './record.ts';
import type { RecordSink } from './sink.ts';
import { createSummary } from './summary.ts';
import type { Summary } from './summary.ts';

export interface ReporterOptions {
  readonly sink: RecordSink | undefined;
  /** Share of the allowed accesses that are recorded, 0 to 1. Violations always are. */
  readonly recordAllowed: number;
  readonly snapshotVersion: string;
  /** Writes the rule that would allow an access: `suggestRule` of the policy layer. */
  readonly suggest: (access: Access) => string | undefined;
  readonly runId?: string;
  readonly nowMs?: () => number;
  /** 0 to 1; decides which allowed accesses are recorded. */
  readonly random?: () => number;
}

export interface Reporter {
  /** Returns the decision id; empty for an allowed access that is not recorded, as there is nothing to look up then. */
  readonly report: (access: Access, verdict: Verdict) => string;
  /** What a person can do about this verdict, as it stands in records and denials. */
  readonly remedy: (access: Access, verdict: Verdict) => string;
  readonly connectionOpened: () => void;
  readonly connectionClosed: () => void;
  readonly bytes: (direction: 'upstream' | 'downstream', count: number) => void;
  /** `outcome` is one of few words: forwarded, answered, refused, nxdomain, failed, malformed. */
  readonly dns: (outcome: string) => void;
  /** `kind` is one of few words: an errno name, `timeout`, `reset`. */
  readonly upstreamError: (kind: string) => void;
  readonly snapshotChanged: (version: string) => void;
  readonly readMetrics: () => MetricsReading;
  /** The record of one of the last 1,000 violations. */
  readonly find: (id: string) => VerdictRecord | undefined;
  readonly summary: () => Summary;
  /** Settles when all records are written. Never rejects. */
  readonly close: () => Promise<void>;
  /** For a process that ends now. */
  readonly closeNow: () => void;
}

const RING = 1000;

export function createReporter(options: ReporterOptions): Reporter {
  const { sink, recordAllowed, suggest } = options;
  const nowMs = options.nowMs ?? Date.now;
  const random = options.random ?? Math.random;
  const prefix = `${options.runId ?? newRunId()}-`;
  const metrics = createMetrics();
  const summary = createSummary();
  const ring: VerdictRecord[] = [];
  let ringNext = 0;
  let version = options.snapshotVersion;
  let sequence = 0;
  let lastVerdict: Verdict | undefined;
  let lastCell: VerdictCell | undefined;

  function report(access: Access, verdict: Verdict): string {
    sequence += 1;
    // most accesses are judged as the one before them was
    const cell =
      lastCell !== undefined && lastVerdict === verdict && lastCell.class === access.class
        ? lastCell
        : metrics.cellOf(access.class, verdict);
    cell.count += 1;
    lastVerdict = verdict;
    lastCell = cell;
    summary.add(access, verdict, cell.outcome);
    if (cell.outcome === 'allowed') {
      if (sink === undefined || recordAllowed === 0 || (recordAllowed < 1 && random() >= recordAllowed)) return '';
    }
    return record(access, verdict, cell.outcome !== 'allowed');
  }

  function record(access: Access, verdict: Verdict, violation: boolean): string {
    const judgement = decisiveJudgement(verdict);
    const made = buildRecord(access, verdict, {
      id: prefix + sequence.toString(36),
      timeMs: nowMs(),
      version,
      remedy: violation ? remedyFor(access, judgement, suggest) : undefined,
    });
    if (violation) {
      // the record and not the access, whose tags nobody has bounded
      ring[ringNext] = made;
      ringNext = (ringNext + 1) % RING;
    }
    sink?.write(serializeRecord(made));
    return made.id;
  }

  return {
    report,
    remedy: (access, verdict) => remedyFor(access, decisiveJudgement(verdict), suggest),
    connectionOpened: metrics.connectionOpened,
    connectionClosed: metrics.connectionClosed,
    bytes: metrics.bytes,
    dns: metrics.dnsQuery,
    upstreamError: metrics.upstreamError,
    snapshotChanged(next) {
      version = next;
    },
    readMetrics() {
      // reading forgets the cells
      lastCell = undefined;
      return metrics.read(sink?.dropped() ?? 0, version);
    },
    find: (id) => ring.find((entry) => entry.id === id),
    summary() {
      return summary.read((access, verdict) =>
        // what nothing forbids has no rule yet: who watches a command wants one
        verdict.enforced.reason === 'default' || REASONS[decisiveJudgement(verdict).reason].ruleHelps
          ? suggest(access)
          : undefined,
      );
    },
    close: () => sink?.close() ?? Promise.resolve(),
    closeNow: () => sink?.closeNow(),
  };
}

/** Eight characters that tell the runs in one log apart. */
function newRunId(): string {
  return [...randomBytes(8)].map((byte) => (byte % 32).toString(32)).join('');
}
