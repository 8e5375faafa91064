/**
 * One suite for every protocol codec. Input: conversations (what a client sends, what must come of it). Each is played in
 * all ways a network may deliver it, and must come to the same: whole, split at each byte, byte by byte, with answers that
 * come late, half-closed, cut off at each byte; then mutated at random. What a session may never do is checked at each step:
 * send without the permit of an allowed act, send after the end, keep reading while it waits.
 */
import { describe, expect, it } from 'vitest';
import type { Permit } from '../../src/model/verdict.ts';
import { parseAddress, type Address } from '../../src/platform/pure/address.ts';
import type { Act, Answer, Codec, SessionIo } from '../../src/engine/protocols/codec.ts';

export type Decide = (act: Act) => 'allow' | 'deny' | 'misdirected';

/** All that the server has answered once it has received this much. A pure function: given more, it only says more. */
export type Server = (received: Buffer) => Buffer;

export interface Conversation {
  readonly name: string;
  readonly input: Buffer;
  readonly decide: Decide;
  readonly server?: Server;
}

export interface Play {
  /** The pieces that arrive one after the other. */
  readonly pieces: readonly Buffer[];
  readonly answers?: 'at-once' | 'late';
  /** The application closes its side at the end. */
  readonly halfClose?: boolean;
  /** Pieces keep coming while reading is paused, as they do when somebody else lets the socket be read. */
  readonly ignorePause?: boolean;
}

export interface Outcome {
  readonly acts: readonly string[];
  readonly upstream: string;
  readonly downstream: string;
  readonly ending: 'open' | 'stuck' | 'closed' | 'reset' | 'spliced';
  readonly upstreamEnded: boolean;
  readonly writes: number;
}

/** The same ones in every run; longer runs by the environment. */
export const FUZZ_ITERATIONS = Number(process.env['SALLYPORT_FUZZ_ITERATIONS'] ?? 3000);

export function play(codec: Codec, conversation: Conversation, how: Play): Outcome {
  const { decide, server } = conversation;
  const acts: string[] = [];
  const upstream: Buffer[] = [];
  const downstream: Buffer[] = [];
  const permits = new Set<Permit>();
  const lateAnswers: (() => void)[] = [];
  let ending: Outcome['ending'] = 'open';
  let upstreamEnded = false;
  let paused = false;
  let answeredBytes = 0;
  let writes = 0;
  let heardBytes = -1;
  let sentBytes = 0;

  const mustBeOpen = (what: string): void => {
    if (ending !== 'open') throw new Error(`${what} after the session was ${ending}`);
  };
  const mustBePaused = (): void => {
    if (!paused) throw new Error('reads on while it waits');
  };
  const isOpen = (): boolean => ending === 'open';
  const isSpliced = (): boolean => ending === 'spliced';
  const io: SessionIo = {
    judge(act, then) {
      mustBeOpen('judged');
      const effect = decide(act);
      acts.push(`${describeAct(act)} ${effect}`);
      const answer = answerTo(act, effect);
      const admit = (): void => {
        if (answer.effect === 'allow') permits.add(answer.permit);
      };
      if (how.answers !== 'late') {
        admit();
        return answer;
      }
      lateAnswers.push(() => {
        admit();
        then(answer);
      });
      return undefined;
    },
    toUpstream(permit, bytes) {
      mustBeOpen('sent upstream');
      if (!permits.has(permit)) throw new Error('sent upstream without a permit');
      if (bytes.length === 0) throw new Error('sent nothing upstream');
      writes += 1;
      sentBytes += bytes.length;
      upstream.push(Buffer.from(bytes));
    },
    toDownstream(bytes) {
      mustBeOpen('sent downstream');
      downstream.push(Buffer.from(bytes));
    },
    endUpstream() {
      mustBeOpen('ended upstream');
      upstreamEnded = true;
    },
    close() {
      mustBeOpen('closed');
      ending = 'closed';
    },
    reset() {
      mustBeOpen('reset');
      ending = 'reset';
    },
    splice(permit, pending) {
      mustBeOpen('spliced');
      if (!permits.has(permit)) throw new Error('spliced without a permit');
      ending = 'spliced';
      sentBytes += pending.length;
      upstream.push(Buffer.from(pending));
    },
    pauseDownstream() {
      paused = true;
    },
    resumeDownstream() {
      paused = false;
    },
  };
  const session = codec.open(io, { original: { address: originalAddress(), port: 80 } });

  const settle = (): void => {
    for (;;) {
      const answer = lateAnswers.shift();
      if (answer !== undefined) {
        answer();
        continue;
      }
      if (server === undefined || ending === 'closed' || ending === 'reset' || sentBytes === heardBytes) return;
      heardBytes = sentBytes;
      const said = server(Buffer.concat(upstream));
      if (said.length <= answeredBytes) return;
      const more = said.subarray(answeredBytes);
      answeredBytes = said.length;
      if (ending === 'spliced') downstream.push(Buffer.from(more));
      else session.fromUpstream(Buffer.from(more));
    }
  };

  const isStuck = (): boolean => paused && how.ignorePause !== true;
  for (const piece of how.pieces) {
    if (piece.length === 0) continue;
    if (isSpliced()) {
      sentBytes += piece.length;
      upstream.push(Buffer.from(piece));
    } else if (isStuck()) {
      if (isOpen()) ending = 'stuck';
      break;
    } else if (isOpen()) {
      paused = false;
      session.fromDownstream(Buffer.from(piece));
      if (lateAnswers.length > 0) mustBePaused();
    }
    if (how.ignorePause !== true) settle();
  }
  settle();
  if (how.halfClose === true && isOpen()) {
    session.downstreamEnded();
    settle();
  }
  return {
    acts,
    upstream: Buffer.concat(upstream).toString('latin1'),
    downstream: Buffer.concat(downstream).toString('latin1'),
    ending,
    upstreamEnded,
    writes,
  };
}

/** In how many writes it left, and what a client still heard before a reset, depends on who was faster. */
function comparable(outcome: Outcome): Omit<Outcome, 'writes'> {
  const { acts, upstream, downstream, ending, upstreamEnded } = outcome;
  return {
    acts,
    upstream,
    downstream: ending === 'reset' ? '' : downstream,
    // a session that waits for a server that never answers looks open to whoever has nothing more to say
    ending: ending === 'stuck' ? 'open' : ending,
    upstreamEnded,
  };
}

/** `http GET allowed.test/x?q`, with the doubt if there is one. */
function describeAct(act: Act): string {
  const { tags } = act;
  const operation = act.operation.name ?? '-';
  const path =
    tags['http.path'] === undefined
      ? '-'
      : tags['http.path'] + (tags['http.query_params'] === undefined ? '' : `?${tags['http.query_params']}`);
  const inside = act.class === 'tls' || act.class === 'tcp' ? '' : ` ${operation} ${path}`;
  return `${act.class} ${act.requestedName ?? '-'}${inside}${act.doubt === undefined ? '' : ` (${act.doubt})`}`;
}

function answerTo(act: Act, effect: ReturnType<Decide>): Answer {
  const destination = { address: originalAddress(), port: 80, requestedName: act.requestedName, names: [] };
  const access = { class: act.class, tags: act.tags, operation: act.operation, destination, doubt: act.doubt };
  // only the engine's decision makes permits; this stands for it, one an act, so that each can be told from the rest
  if (effect === 'allow') return { effect, permit: Object.freeze({}) as Permit, access };
  return {
    effect: 'deny',
    id: 'r-1',
    reason: effect === 'misdirected' ? effect : 'no-rule',
    remedy: 'allow it',
    access,
  };
}

function originalAddress(): Address {
  const address = parseAddress('198.18.0.1');
  if (address === undefined) throw new Error('198.18.0.1 is no address');
  return address;
}

export function splitAt(bytes: Buffer, ...places: readonly number[]): readonly Buffer[] {
  const edges = [0, ...places, bytes.length];
  return edges.slice(1).map((edge, index) => bytes.subarray(edges[index], edge));
}

export function byteByByte(bytes: Buffer): readonly Buffer[] {
  return Array.from(bytes, (_, index) => bytes.subarray(index, index + 1));
}

/** The suite. `bounded`: endless beginnings, of which the session must say in time that it has seen enough. */
export function describeConformance(
  codec: Codec,
  conversations: readonly Conversation[],
  bounded: readonly Conversation[],
): void {
  describe(`${codec.name}: however it arrives`, () => {
    it.each(conversations)('$name', (conversation) => {
      const { input } = conversation;
      const whole = play(codec, conversation, { pieces: [input] });
      expect(whole.ending).not.toBe('stuck');
      const same = (how: Play): void => {
        expect(comparable(play(codec, conversation, how))).toEqual(comparable(whole));
      };
      const step = stepOf(input);
      for (let place = 1; place < input.length; place += step) same({ pieces: splitAt(input, place) });
      same({ pieces: byteByByte(input) });
      same({ pieces: [input], answers: 'late' });
      same({ pieces: byteByByte(input), answers: 'late' });
      same({ pieces: byteByByte(input), answers: 'late', ignorePause: true });
    });
  });

  describe(`${codec.name}: half-closed and cut off`, () => {
    it.each(conversations)('$name', (conversation) => {
      const { input } = conversation;
      const whole = play(codec, conversation, { pieces: [input] });
      const ended = play(codec, conversation, { pieces: [input], halfClose: true });
      expect(ended.upstream).toBe(whole.upstream);
      expect(ended.acts.slice(0, whole.acts.length)).toEqual(whole.acts);
      // an end is carried through, or is the end of all
      if (ended.ending === 'open') expect(ended.upstreamEnded).toBe(true);
      for (let length = 0; length < input.length; length += stepOf(input)) {
        for (const pieces of [[input.subarray(0, length)], byteByByte(input.subarray(0, length))]) {
          const cut = play(codec, conversation, { pieces, halfClose: true });
          expect(whole.upstream.startsWith(cut.upstream)).toBe(true);
          expect(whole.acts.slice(0, cut.acts.length)).toEqual(cut.acts);
          if (cut.ending === 'open') expect(cut.upstreamEnded).toBe(true);
        }
      }
    });
  });

  if (bounded.length > 0) {
    describe(`${codec.name}: more than is looked at`, () => {
      it.each(bounded)('$name', (conversation) => {
        const whole = play(codec, conversation, { pieces: [conversation.input] });
        expect(whole.ending).not.toBe('open');
        expect(whole.ending).not.toBe('stuck');
        expect(whole.upstream).toBe('');
        const pieces: Buffer[] = [];
        for (let at = 0; at < conversation.input.length; at += 1009)
          pieces.push(conversation.input.subarray(at, at + 1009));
        expect(play(codec, conversation, { pieces })).toEqual(whole);
      });
    });
  }

  describe(`${codec.name}: garbage`, () => {
    it(
      'is never sent on without a permit, and comes to the same however it is split',
      { timeout: 5000 + FUZZ_ITERATIONS * 10 },
      () => {
        const random = createRandom(0x5a11_9042);
        for (let iteration = 0; iteration < FUZZ_ITERATIONS; iteration += 1) {
          const conversation = conversations[random(conversations.length)];
          const other = conversations[random(conversations.length)];
          if (conversation === undefined || other === undefined) throw new Error('no conversations');
          const input = mutate(
            random(4) === 0 ? Buffer.concat([conversation.input, other.input]) : conversation.input,
            random,
          );
          const mutated = { ...conversation, input };
          const seen = `iteration ${iteration}: ${JSON.stringify(input.toString('latin1'))}`;
          const whole = play(codec, mutated, { pieces: [input], halfClose: true });
          const places = Array.from({ length: random(6) }, () => random(input.length + 1)).sort((a, b) => a - b);
          const split = play(codec, mutated, {
            pieces: splitAt(input, ...places),
            halfClose: true,
            answers: random(2) === 0 ? 'late' : 'at-once',
            ignorePause: random(4) === 0,
          });
          expect(comparable(split), seen).toEqual(comparable(whole));
          expect(
            play(codec, { ...mutated, decide: () => 'deny' }, { pieces: splitAt(input, ...places) }).upstream,
            seen,
          ).toBe('');
          expect(isSubsequence(whole.upstream, input.toString('latin1')), seen).toBe(true);
        }
      },
    );
  });
}

/** Long conversations are not split at each of their bytes: it is the short ones that hold each state. */
function stepOf(input: Buffer): number {
  return input.length > 2000 ? 211 : 1;
}

/** A sequence that is the same in every run (xorshift): a number below `below`. */
export function createRandom(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state % below;
  };
}

/** One to four changes: bytes, pieces of it elsewhere, and what means something to a parser. */
export function mutate(bytes: Buffer, random: (below: number) => number): Buffer {
  let mutated = bytes;
  for (let count = 1 + random(4); count > 0; count -= 1) {
    const at = random(mutated.length + 1);
    const before = mutated.subarray(0, at);
    const after = mutated.subarray(at);
    switch (random(6)) {
      case 0:
        mutated = Buffer.concat([before, Buffer.from([random(256)]), after.subarray(1)]);
        break;
      case 1:
        mutated = Buffer.concat([before, Buffer.from([random(256)]), after]);
        break;
      case 2:
        mutated = Buffer.concat([before, after.subarray(1 + random(8))]);
        break;
      case 3:
        // bytes that mean something to somebody
        mutated = Buffer.concat([
          before,
          Buffer.from(['\r', '\n', '\r\n', '\r\n\r\n', '\0', ' ', '\t', ':', ',', ';', '0'][random(11)] ?? ''),
          after,
        ]);
        break;
      case 4:
        mutated = Buffer.concat([before, bytes.subarray(random(bytes.length), random(bytes.length)), after]);
        break;
      default:
        mutated = Buffer.concat([before, after.map((byte, index) => (index === 0 ? byte ^ (1 << random(8)) : byte))]);
    }
  }
  return mutated;
}

/** Whether `part` is `whole` with some bytes left out. */
function isSubsequence(part: string, whole: string): boolean {
  let at = 0;
  for (const character of part) {
    at = whole.indexOf(character, at) + 1;
    if (at === 0) return false;
  }
  return true;
}
