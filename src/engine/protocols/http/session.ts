/**
 * One HTTP/1 connection: every request judged, its bytes forwarded as they came. Invariants: nothing of a request that was
 * not allowed goes upstream; answers reach the client in the order of its requests, denials among them; what is kept is
 * bounded, because reading stops while anything waits. What cannot be read, or would turn the connection into something
 * else, is judged as the whole flow: let through unlooked at where a rule allows it whatever it is, else refused.
 *
 *   downstream bytes → head → judge → forward | deny → body (forwarded | swallowed) → head …
 *   upstream bytes   → head → body → the denials that waited for their turn → head …
 */
import type { Doubt } from '../../../model/access.ts';
import type { Permit } from '../../../model/verdict.ts';
import type { Act, Answer, Codec, Session, SessionContext, SessionIo } from '../codec.ts';
import { createGathered, gather, gathered, takeGathered } from '../gather.ts';
import { actOfRequest, wholeFlow } from './act.ts';
import { beginBody, createBody, takeBody } from './body.ts';
import { denialResponse, type DenialShape, type DenialStatus } from './denial.ts';
import { detectRequest } from './detect.ts';
import {
  MAX_HEAD_BYTES,
  NO_BODY,
  parseRequestHead,
  withoutUpgrade,
  type RequestHead,
  type RequestProblem,
} from './request-head.ts';
import { parseResponseHead } from './response-head.ts';
import { isHeadSettled } from './syntax.ts';

export const HTTP1: Codec = { name: 'http', detect: detectRequest, open: openHttpSession };

/** Requests on their way at once. A client that asks for more is not read until answers have come. */
const MAX_OWED = 64;
/** A head that may come again byte for byte is kept to this size. */
const MAX_REMEMBERED_BYTES = 1024;

/** An answer that the client waits for: the server's (to HEAD it has no body; to an upgrade it may be 101), or ours. */
type Owed = 'plain' | 'bodiless' | 'upgrade' | Buffer;

/** What the bytes that follow wait for. */
type Waiting =
  | 'answer' // to the act
  | 'turn' // nothing is owed before it
  | 'own' // none of our own answers is owed
  | 'room' // less is owed
  | 'upgrade'; // the server says whether it changes over

/** A head with its act, and its bytes unless it is long. */
interface Known {
  readonly head: RequestHead;
  readonly act: Act;
  readonly bytes: Buffer | undefined;
}

function openHttpSession(io: SessionIo, context: SessionContext): Session {
  const originalPort = context.original.port;

  // ── the application's side ─────────────────────────────────────────────────────────────────────────────────────

  /** `over`: nothing that the application still sends is looked at. */
  let place: 'head' | 'body' | 'over' = 'head';
  let afterBody: 'head' | 'over' = 'head';
  let waiting: Waiting | undefined;
  /** Bytes not yet consumed: an unfinished head, or, while waiting, all that came. */
  const kept = createGathered();
  let lookedAt = 0;
  const requestBody = createBody();
  /** Of the request whose body comes; undefined where it is swallowed. */
  let bodyPermit: Permit | undefined;
  let late: Answer | undefined;
  let last: Known | undefined;
  let applicationEnded = false;
  let sentAny = false;

  // ── the server's side ──────────────────────────────────────────────────────────────────────────────────────────

  const owed: Owed[] = [];
  /** Close once nothing is owed. */
  let closing = false;
  /** Closed, reset, or passing unlooked at. */
  let done = false;
  let inResponseBody = false;
  const responseBody = createBody();
  const keptResponse = createGathered();
  let upgradePermit: Permit | undefined;

  function fromDownstream(bytes: Buffer): void {
    if (place === 'over') return;
    if (waiting !== undefined) {
      gather(kept, bytes);
      // whoever let the connection be read again did not know that somebody waits
      io.pauseDownstream();
      return;
    }
    if (kept.length === 0) {
      consume(bytes);
      return;
    }
    gather(kept, bytes);
    const head = gathered(kept);
    const settled = head.length >= MAX_HEAD_BYTES || isHeadSettled(head, lookedAt);
    lookedAt = head.length;
    if (settled) consume(takeGathered(kept));
  }

  /** Requests from the beginning of `bytes` on, or the rest of a body and then requests. */
  function consume(bytes: Buffer): void {
    let at = 0;
    // what lies between the two is allowed and not yet sent: as many requests as came together leave together
    let unsent = 0;
    let permit: Permit | undefined;

    while (at < bytes.length && place !== 'over') {
      if (place === 'body') {
        permit = bodyPermit;
        at = takeBody(requestBody, bytes, at);
        if (permit === undefined) unsent = at;
        if (requestBody.state === 'malformed') {
          sendUpstream(permit, bytes, unsent, at);
          breakOff(bytes.subarray(at));
          return;
        }
        if (requestBody.state === 'done') place = afterBody;
        continue;
      }

      if (owed.length >= MAX_OWED) {
        sendUpstream(permit, bytes, unsent, at);
        wait('room', bytes.subarray(at));
        return;
      }
      const known = recall(bytes, at) ?? read(bytes, at);
      if (typeof known === 'string') {
        sendUpstream(permit, bytes, unsent, at);
        if (known === 'more') {
          gather(kept, bytes.subarray(at));
          lookedAt = kept.length;
        } else {
          refuseUnreadable(known, bytes.subarray(at));
        }
        return;
      }
      const { head, act } = known;
      const isWhole = act.class === 'tcp';
      if (isWhole && owed.length > 0) {
        sendUpstream(permit, bytes, unsent, at);
        wait('turn', bytes.subarray(at));
        return;
      }
      const answer = late ?? io.judge(act, onAnswer);
      late = undefined;
      if (answer === undefined) {
        sendUpstream(permit, bytes, unsent, at);
        wait('answer', bytes.subarray(at));
        return;
      }

      if (answer.effect === 'deny') {
        sendUpstream(permit, bytes, unsent, at);
        at += head.length;
        unsent = at;
        bodyPermit = undefined;
        deny(answer, head, act);
        if (closing) return;
      } else if (isWhole) {
        splice(answer.permit, bytes.subarray(at));
        return;
      } else {
        if (head.upgrade === 'h2c') {
          sendUpstream(permit, bytes, unsent, at);
          const rewritten = withoutUpgrade(bytes.subarray(at, at + head.length));
          sendUpstream(answer.permit, rewritten, 0, rewritten.length);
          unsent = at + head.length;
        }
        ({ permit } = answer);
        bodyPermit = permit;
        at += head.length;
        if (head.upgrade === 'websocket') {
          owed.push('upgrade');
          sendUpstream(permit, bytes, unsent, at);
          upgradePermit = permit;
          wait('upgrade', bytes.subarray(at));
          return;
        }
        owed.push(head.method === 'HEAD' ? 'bodiless' : 'plain');
      }
      afterBody = head.keepAlive ? 'head' : 'over';
      beginBody(requestBody, head.body);
      place = head.body === NO_BODY ? afterBody : 'body';
    }
    sendUpstream(permit, bytes, unsent, at);
  }

  /** The same bytes are the same head: most clients ask again and again alike. */
  function recall(bytes: Buffer, at: number): Known | undefined {
    const before = last?.bytes;
    if (before === undefined || bytes.length - at < before.length) return undefined;
    for (let index = 0; index < before.length; index += 1) {
      if (before[index] !== bytes[at + index]) return undefined;
    }
    return last;
  }

  function read(bytes: Buffer, at: number): Known | 'more' | RequestProblem {
    const head = parseRequestHead(bytes, at, last?.head);
    if (typeof head === 'string') return head;
    const remembered =
      head.length <= MAX_REMEMBERED_BYTES ? Buffer.from(bytes.subarray(at, at + head.length)) : undefined;
    last = { head, act: actOfRequest(head, originalPort), bytes: remembered };
    return last;
  }

  function onAnswer(answer: Answer): void {
    if (waiting !== 'answer') return;
    late = answer;
    goOn();
  }

  function wait(what: Waiting, rest: Buffer): void {
    waiting = what;
    gather(kept, rest);
    io.pauseDownstream();
  }

  function goOn(): void {
    waiting = undefined;
    consume(takeGathered(kept));
    if (mustHold()) return;
    io.resumeDownstream();
    if (applicationEnded) finish();
  }

  /** Whether the last bytes led to something to wait for, or to the end. */
  function mustHold(): boolean {
    return waiting !== undefined || done;
  }

  function sendUpstream(permit: Permit | undefined, bytes: Buffer, from: number, to: number): void {
    if (permit === undefined || from >= to) return;
    sentAny = true;
    io.toUpstream(permit, from === 0 && to === bytes.length ? bytes : bytes.subarray(from, to));
  }

  function downstreamEnded(): void {
    if (applicationEnded) return;
    applicationEnded = true;
    if (waiting === undefined && !done) finish();
  }

  /** The application has said all that it will. */
  function finish(): void {
    // an unfinished head is nothing; one that nothing could finish is refused as it would have been with more of it
    if (kept.length > 0 && parseRequestHead(gathered(kept), 0, undefined) !== 'more') {
      consume(takeGathered(kept));
      if (mustHold()) return;
    }
    if (closing) return;
    if (sentAny) io.endUpstream();
    else close();
  }

  // ── refusals ───────────────────────────────────────────────────────────────────────────────────────────────────

  function deny(answer: Extract<Answer, { effect: 'deny' }>, head: RequestHead, act: Act): void {
    // a client that asked first may send the body or not: only the end of the connection means the same to both
    const unclear = head.expectsContinue && head.body !== NO_BODY;
    respond(answer, {
      status: statusOf(answer, act.doubt),
      close: !head.keepAlive || unclear,
      sayKeepAlive: head.minor === 0,
      omitBody: head.method === 'HEAD',
      detail: undefined,
    });
  }

  function refuseUnreadable(problem: RequestProblem, rest: Buffer): void {
    if (owed.length > 0) {
      wait('turn', rest);
      return;
    }
    const tooLarge = problem === 'too large' || problem === 'too many fields';
    const answer = late ?? io.judge(wholeFlow(tooLarge ? 'too-large' : 'malformed', {}), onAnswer);
    late = undefined;
    if (answer === undefined) wait('answer', rest);
    else if (answer.effect === 'allow') splice(answer.permit, rest);
    else
      respond(answer, {
        status: tooLarge ? 431 : 400,
        close: true,
        sayKeepAlive: false,
        omitBody: false,
        detail: problem,
      });
  }

  /** A body that became unreadable: of its request, which the server has half, nothing must ever be completed. */
  function breakOff(rest: Buffer): void {
    if (owesOwn()) {
      wait('own', rest);
      return;
    }
    const answer = late ?? io.judge(wholeFlow('malformed', {}), onAnswer);
    late = undefined;
    if (answer === undefined) wait('answer', rest);
    else if (answer.effect === 'allow' && bodyPermit !== undefined) splice(answer.permit, rest);
    else reset();
  }

  function owesOwn(): boolean {
    return owed.some((one) => typeof one === 'object');
  }

  function respond(answer: Extract<Answer, { effect: 'deny' }>, shape: DenialShape): void {
    const bytes = denialResponse(answer, shape);
    if (shape.close) {
      closing = true;
      place = 'over';
    }
    if (owed.length > 0) {
      owed.push(bytes);
      return;
    }
    io.toDownstream(bytes);
    if (closing) close();
  }

  function close(): void {
    settle();
    io.close();
  }

  function reset(): void {
    settle();
    io.reset();
  }

  function splice(permit: Permit, rest: Buffer): void {
    settle();
    // a response that was being read goes on where it stopped
    if (keptResponse.length > 0) io.toDownstream(takeGathered(keptResponse));
    io.splice(permit, rest);
    io.resumeDownstream();
  }

  function settle(): void {
    place = 'over';
    done = true;
    waiting = undefined;
    takeGathered(kept);
  }

  // ── the server's answers ───────────────────────────────────────────────────────────────────────────────────────

  function fromUpstream(piece: Buffer): void {
    if (done) return;
    let bytes = piece;
    if (keptResponse.length > 0) {
      gather(keptResponse, piece);
      const soFar = gathered(keptResponse);
      if (soFar.length < MAX_HEAD_BYTES && !isHeadSettled(soFar, soFar.length - piece.length)) return;
      bytes = takeGathered(keptResponse);
    }
    let at = 0;
    let unsent = 0;

    while (at < bytes.length) {
      if (!inResponseBody) {
        if (owed.length === 0) {
          // nobody asked: some servers say so before they close an idle connection, others try to poison the next answer
          sendDownstream(bytes, unsent, at);
          close();
          return;
        }
        const head = parseResponseHead(bytes, at);
        if (head === 'more') {
          sendDownstream(bytes, unsent, at);
          gather(keptResponse, bytes.subarray(at));
          afterAnswers();
          return;
        }
        if (head === 'malformed') {
          reset();
          return;
        }
        if (head.status === 101) {
          if (owed[0] !== 'upgrade' || upgradePermit === undefined) {
            reset();
            return;
          }
          sendDownstream(bytes, unsent, bytes.length);
          splice(upgradePermit, takeGathered(kept));
          return;
        }
        at += head.length;
        if (head.status < 200) continue;
        beginBody(responseBody, owed[0] === 'bodiless' ? NO_BODY : head.body);
        inResponseBody = true;
      }
      at = takeBody(responseBody, bytes, at);
      if (responseBody.state === 'malformed') {
        reset();
        return;
      }
      if (responseBody.state === 'done') {
        inResponseBody = false;
        if (typeof owed[1] === 'object') {
          sendDownstream(bytes, unsent, at);
          unsent = at;
        }
        answered();
      }
    }
    sendDownstream(bytes, unsent, at);
    afterAnswers();
  }

  function sendDownstream(bytes: Buffer, from: number, to: number): void {
    if (from < to) io.toDownstream(from === 0 && to === bytes.length ? bytes : bytes.subarray(from, to));
  }

  /** The server's answer is complete: our own that follow have their turn. */
  function answered(): void {
    owed.shift();
    for (;;) {
      const next = owed[0];
      if (next === undefined || typeof next === 'string') return;
      io.toDownstream(next);
      owed.shift();
    }
  }

  function afterAnswers(): void {
    if (closing && owed.length === 0) close();
    else if (waiting !== undefined && isOver(waiting)) goOn();
  }

  function isOver(wait: Waiting): boolean {
    switch (wait) {
      case 'answer':
        return false;
      case 'turn':
      case 'upgrade':
        return owed.length === 0;
      case 'own':
        return !owesOwn();
      case 'room':
        return owed.length <= MAX_OWED / 2;
    }
  }

  function upstreamEnded(): void {
    if (!done) close();
  }

  return { fromDownstream, fromUpstream, downstreamEnded, upstreamEnded };
}

function statusOf(answer: Extract<Answer, { effect: 'deny' }>, doubt: Doubt | undefined): DenialStatus {
  return answer.reason === 'misdirected' || doubt === 'ambiguous-name' ? 421 : 403;
}
