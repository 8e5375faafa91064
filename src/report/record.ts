/**
 * The canonical record of one verdict: one JSON object on one line, keys always in the same order (docs/records.md).
 * Names, paths and tags come from the wire: they are bounded and escaped, never trusted to keep a line whole.
 */
import type { Access } from '../model/access.ts';
import type { Judgement, Verdict } from '../model/verdict.ts';
import { printableJson } from '../platform/pure/printable.ts';

/** `denied`: blocked. `notified`: let through, though a policy that only notifies denies it. */
export type Outcome = 'allowed' | 'denied' | 'notified';

export interface VerdictRecord {
  /** RFC 3339, milliseconds, UTC. */
  readonly time: string;
  readonly id: string;
  readonly verdict: Outcome;
  /** Where what is enforced and what the notifying policies say differ. */
  readonly shadow?: 'would be allowed' | 'would be denied';
  readonly reason: string;
  readonly policy?: string;
  readonly policyKind?: string;
  readonly rule?: string;
  readonly class: string;
  readonly operation: { readonly name?: string; readonly type?: string };
  readonly destination: {
    readonly address: string;
    readonly port: number;
    readonly requestedName?: string;
    readonly names: readonly string[];
  };
  readonly tags: Readonly<Record<string, string>>;
  readonly doubt?: string;
  /** Set for violations. */
  readonly remedy?: string;
  /** Version of the snapshot that decided. */
  readonly version: string;
  /** W3C trace id (32 hex digits) of the request. */
  readonly trace?: string;
}

export interface RecordMeta {
  readonly id: string;
  readonly timeMs: number;
  readonly version: string;
  readonly remedy: string | undefined;
}

/** A tag or name longer than this is cut, and says by how much. */
export const MAX_TEXT = 2048;
export const MAX_NAMES = 16;
/** The tag that carries the request's own traceparent header; it becomes `trace`. */
const TRACEPARENT_TAG = 'traceparent';

export function outcomeOf(verdict: Verdict): Outcome {
  if (verdict.enforced.effect === 'deny') return 'denied';
  return verdict.shadow.effect === 'deny' ? 'notified' : 'allowed';
}

/** The judgement that a person asks about: what was enforced, or, where only the shadow denies, the shadow. */
export function decisiveJudgement(verdict: Verdict): Judgement {
  return outcomeOf(verdict) === 'notified' ? verdict.shadow : verdict.enforced;
}

export function buildRecord(access: Access, verdict: Verdict, meta: RecordMeta): VerdictRecord {
  const outcome = outcomeOf(verdict);
  const judgement = decisiveJudgement(verdict);
  const { operation, destination } = access;
  const trace = traceId(access.tags[TRACEPARENT_TAG]);
  return {
    time: new Date(meta.timeMs).toISOString(),
    id: meta.id,
    verdict: outcome,
    ...(verdict.enforced.effect !== verdict.shadow.effect && {
      shadow: verdict.shadow.effect === 'deny' ? 'would be denied' : 'would be allowed',
    }),
    reason: judgement.reason,
    ...(judgement.by !== undefined && {
      policy: judgement.by.policy,
      policyKind: judgement.by.kind,
      rule: judgement.by.rule,
    }),
    class: access.class,
    operation: {
      ...(operation.name !== undefined && { name: bounded(operation.name) }),
      ...(operation.type !== undefined && { type: operation.type }),
    },
    destination: {
      address: destination.address.text,
      port: destination.port,
      ...(destination.requestedName !== undefined && { requestedName: bounded(destination.requestedName) }),
      names: destination.names.slice(0, MAX_NAMES).map(bounded),
    },
    tags: boundedTags(access.tags),
    ...(access.doubt !== undefined && { doubt: access.doubt }),
    ...(meta.remedy !== undefined && { remedy: meta.remedy }),
    version: meta.version,
    ...(trace !== undefined && { trace }),
  };
}

/** One line with its newline. */
export function serializeRecord(record: VerdictRecord): string {
  return `${printableJson(record)}\n`;
}

function boundedTags(tags: Access['tags']): Record<string, string> {
  const bare: Record<string, string> = {};
  // sorted, so that equal accesses give equal lines whatever order their protocol set the tags in
  for (const name of Object.keys(tags).sort()) {
    if (name !== TRACEPARENT_TAG) bare[name] = bounded(tags[name] ?? '');
  }
  return bare;
}

function bounded(text: string): string {
  return text.length <= MAX_TEXT ? text : `${text.slice(0, MAX_TEXT)}... (${text.length - MAX_TEXT} more)`;
}

/** W3C Trace Context §3.2: an id of zeros is invalid. */
function traceId(traceparent: string | undefined): string | undefined {
  if (traceparent === undefined) return undefined;
  const id = /^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}/.exec(traceparent)?.[1];
  return id === undefined || /^0+$/.test(id) ? undefined : id;
}
