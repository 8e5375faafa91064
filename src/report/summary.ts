/**
 * What was reached, gathered while it happens and bounded in memory: one line for each class, name, port, outcome and
 * reason. Accesses past the bound are counted, not listed.
 */
import type { Access, ClassName } from '../model/access.ts';
import type { RuleRef, Verdict } from '../model/verdict.ts';
import { decisiveJudgement } from './record.ts';
import type { Outcome } from './record.ts';

export interface SummaryLine {
  readonly verdict: Outcome;
  readonly class: ClassName;
  /** The name asked for, else one bound to the address, else the address. */
  readonly name: string;
  readonly address: string;
  /** 0 for protocols without ports. */
  readonly port: number;
  readonly count: number;
  readonly reason: string;
  readonly by: RuleRef | undefined;
  /** Names of operations as they came, types of DNS queries; at most `MAX_SAMPLES`. */
  readonly operations: readonly string[];
  /** For violations: the rules to add. */
  readonly suggestions: readonly string[];
}

export interface Summary {
  readonly lines: readonly SummaryLine[];
  readonly totals: Readonly<Record<Outcome, number>>;
  /** Accesses to destinations past the bound. */
  readonly unlisted: number;
}

export interface SummaryCollector {
  add(access: Access, verdict: Verdict, outcome: Outcome): void;
  /** `suggest` writes the rule that would allow an access; `undefined` where a rule allows it, or none can. */
  read(suggest: (access: Access, verdict: Verdict) => string | undefined): Summary;
}

interface Cell {
  readonly class: ClassName;
  readonly port: number;
  readonly outcome: Outcome;
  readonly reason: string;
  readonly name: string;
  count: number;
  /** Accesses that differ in what they do. The first gives address and rule. */
  readonly samples: { readonly access: Access; readonly verdict: Verdict }[];
}

const MAX_LINES = 1000;
const MAX_SAMPLES = 8;
const MAX_SAMPLES_IN_ALL = 2000;
const MAX_TAG = 1024;

export function createSummary(): SummaryCollector {
  const cellsByName = new Map<string, Cell[]>();
  const totals: Record<Outcome, number> = { allowed: 0, denied: 0, notified: 0 };
  let lines = 0;
  let samples = 0;
  let unlisted = 0;

  function add(access: Access, verdict: Verdict, outcome: Outcome): void {
    totals[outcome] += 1;
    const name = nameOf(access);
    // verdicts of allowed accesses differ by rule, which the line does not show
    const reason = outcome === 'allowed' ? '' : decisiveJudgement(verdict).reason;
    let cells = cellsByName.get(name);
    if (cells !== undefined) {
      const { port } = access.destination;
      for (const cell of cells) {
        if (cell.port === port && cell.class === access.class && cell.outcome === outcome && cell.reason === reason) {
          cell.count += 1;
          if (outcome !== 'allowed') keepSample(cell, access, verdict);
          return;
        }
      }
    }
    if (lines >= MAX_LINES) {
      unlisted += 1;
      return;
    }
    lines += 1;
    samples += 1;
    if (cells === undefined) {
      cells = [];
      cellsByName.set(name, cells);
    }
    cells.push({
      class: access.class,
      port: access.destination.port,
      outcome,
      reason,
      name,
      count: 1,
      samples: [{ access: withoutLongTags(access), verdict }],
    });
  }

  function keepSample(cell: Cell, access: Access, verdict: Verdict): void {
    if (cell.samples.length >= MAX_SAMPLES || samples >= MAX_SAMPLES_IN_ALL) return;
    for (const { access: known } of cell.samples) {
      if (operationOf(known) === operationOf(access) && known.tags['http.path'] === access.tags['http.path']) return;
    }
    samples += 1;
    cell.samples.push({ access: withoutLongTags(access), verdict });
  }

  return {
    add,
    read(suggest) {
      const read = [...cellsByName.values()].flat().map((cell) => lineOf(cell, suggest));
      return { lines: read.sort(byOutcomeThenCount), totals: { ...totals }, unlisted };
    },
  };
}

/** What a person calls the destination. A DNS query's destination is a resolver: there it is the name asked about. */
function nameOf(access: Access): string {
  const { destination } = access;
  if (access.class === 'dns') return access.tags['dns.name'] ?? destination.address.text;
  return destination.requestedName ?? destination.names[0] ?? destination.address.text;
}

function operationOf(access: Access): string | undefined {
  return access.operation.name ?? access.tags['dns.type'];
}

/** The application chooses how long its tags are. Without one, the rule that is suggested is wider in that respect. */
function withoutLongTags(access: Access): Access {
  const entries = Object.entries(access.tags);
  if (entries.every(([, value]) => value.length <= MAX_TAG)) return access;
  return { ...access, tags: Object.fromEntries(entries.filter(([, value]) => value.length <= MAX_TAG)) };
}

function lineOf(cell: Cell, suggest: (access: Access, verdict: Verdict) => string | undefined): SummaryLine {
  const first = cell.samples[0];
  const operations = cell.samples.map(({ access }) => operationOf(access)).filter((name) => name !== undefined);
  const suggestions = cell.samples.map(({ access, verdict }) => suggest(access, verdict));
  return {
    verdict: cell.outcome,
    class: cell.class,
    name: cell.name,
    address: first?.access.destination.address.text ?? '',
    port: cell.port,
    count: cell.count,
    reason: first === undefined ? '' : decisiveJudgement(first.verdict).reason,
    by: first === undefined ? undefined : decisiveJudgement(first.verdict).by,
    operations: [...new Set(operations)],
    suggestions: [...new Set(suggestions.filter((text) => text !== undefined))],
  };
}

const ORDER: Readonly<Record<Outcome, number>> = { allowed: 0, notified: 1, denied: 2 };

function byOutcomeThenCount(a: SummaryLine, b: SummaryLine): number {
  if (a.verdict !== b.verdict) return ORDER[a.verdict] - ORDER[b.verdict];
  if (a.count !== b.count) return b.count - a.count;
  return a.name === b.name ? a.port - b.port : a.name < b.name ? -1 : 1;
}
