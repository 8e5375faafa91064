/**
 * What a protocol is to the engine. A protocol sees bytes and makes accesses; it knows `model`, never rules. It is
 * synchronous and owns no socket: bytes in by method, bytes and questions out by `SessionIo`. Every byte that goes
 * upstream carries the permit of the access that it belongs to.
 */
import type { Access, ClassName, Destination, Doubt, Operation, Tags } from '../../model/access.ts';
import type { Permit } from '../../model/verdict.ts';

/** `more`: the bytes so far are a proper beginning of this protocol and cannot yet be told. */
export type Detection = 'yes' | 'no' | 'more';

/** The head of an access before its destination is settled. */
export interface Act {
  readonly class: ClassName;
  readonly tags: Tags;
  readonly operation: Operation;
  /** Canonical host asked for; undefined where the bytes carry none. */
  readonly requestedName: string | undefined;
  readonly doubt: Doubt | undefined;
}

/** The answer to one act. `id` names the denial to the person who reads it. */
export type Answer =
  | { readonly effect: 'allow'; readonly permit: Permit; readonly access: Access }
  | {
      readonly effect: 'deny';
      readonly id: string;
      readonly reason: string;
      readonly remedy: string;
      readonly access: Access;
    };

export interface SessionIo {
  /**
   * Judges and reports one act. Returns the answer at once where it can; else returns `undefined`, and calls `then`
   * later (the firewall had to resolve a name): until then the session sends nothing of this act or after it upstream, and keeps what arrives.
   */
  judge(act: Act, then: (answer: Answer) => void): Answer | undefined;
  /** Sends toward the destination of the connection; dials first if nothing is dialled yet. */
  toUpstream(permit: Permit, bytes: Buffer): void;
  toDownstream(bytes: Buffer): void;
  /** The application's side has sent its last byte upstream. */
  endUpstream(): void;
  /** Sends what was written, then closes both sides. */
  close(): void;
  /** Ends both sides with a reset. */
  reset(): void;
  /** From now on every byte passes both ways unlooked at, under this permit. `pending` goes first. */
  splice(permit: Permit, pendingUpstream: Buffer): void;
  /** Stops or resumes reading from the application: a session that keeps bytes bounds them by this. */
  pauseDownstream(): void;
  resumeDownstream(): void;
}

export interface Session {
  fromDownstream(bytes: Buffer): void;
  fromUpstream(bytes: Buffer): void;
  downstreamEnded(): void;
  upstreamEnded(): void;
}

export interface Codec {
  readonly name: string;
  /** Looks at the first bytes of the application. Never reads past what it needs. */
  detect(bytes: Buffer): Detection;
  open(io: SessionIo, context: SessionContext): Session;
}

export interface SessionContext {
  /** The original destination, for authorities that are not written out, and for tags. */
  readonly original: Pick<Destination, 'address' | 'port'>;
}
