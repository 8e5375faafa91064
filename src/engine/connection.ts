/**
 * The whole way of one TCP connection: intercepted → original destination → identified → judged → forwarded or denied
 * → reported. Input: a socket that the kernel handed to our listener with its original destination as its own
 * address. Invariant: no byte of the application's goes upstream without the permit of the access that it belongs to.
 * What cannot be told within the deadline is judged as that: a doubt, which no narrower rule can allow.
 */
import type net from 'node:net';
import { NO_OPERATION, NO_TAGS, type Doubt } from '../model/access.ts';
import { parseAddress, type Address } from '../platform/pure/address.ts';
import type { Snapshot } from '../policy/compile.ts';
import { outlook } from '../policy/outlook.ts';
import type { Reporter } from '../report/reporter.ts';
import { pump } from './act/pump.ts';
import type { Bindings } from './bindings.ts';
import { identify } from './identify/identify.ts';
import { openDnsConversation, type DnsProxy } from './intercept/dns/proxy.ts';
import type { Dialled, Judge, OriginalDestination } from './judge.ts';
import type { Act, Answer, Session, SessionIo } from './protocols/codec.ts';

export interface ConnectionParts {
  readonly snapshot: () => Snapshot;
  readonly bindings: Bindings;
  readonly reporter: Reporter;
  readonly judge: Judge;
  readonly dns: DnsProxy;
  /** A socket on its way to that address, half-open allowed; marked where the firewall shares a namespace. */
  readonly connect: (address: Address, port: number) => net.Socket;
  readonly detectionTimeoutMs: number;
  /** Says that the firewall itself is at fault; the connection is ended already. */
  readonly onFault: (error: unknown) => void;
}

const DNS_PORT = 53;
/** How long a client may take to close after we did. */
const LINGER_MS = 5_000;
/** More than any head or hello that is looked at. */
const MAX_UNIDENTIFIED_BYTES = 64 * 1024;
/** Answers that the application does not read; past them its requests are not read. */
const MAX_UNREAD_BYTES = 256 * 1024;

export function handleConnection(parts: ConnectionParts, downstream: net.Socket): void {
  const { reporter } = parts;
  const address = parseAddress(downstream.localAddress ?? '');
  const port = downstream.localPort;
  if (address === undefined || port === undefined) {
    downstream.destroy(); // reset before it was accepted
    return;
  }
  reporter.connectionOpened();
  downstream.on('close', () => {
    reporter.connectionClosed();
  });
  // a reset of the application's: 'close' follows and ends the other side
  downstream.on('error', () => undefined);

  const original: OriginalDestination = { address, port };
  if (port === DNS_PORT) {
    openDnsConversation(parts.dns, original, downstream);
    return;
  }
  switch (outlook(parts.snapshot(), { ...original, names: parts.bindings.namesOf(address) }, 'tcp')) {
    case 'denied':
      carry(parts, downstream, original, 'refuse');
      return;
    case 'allowed':
      // servers that speak first are heard: nothing of the application's has left yet
      carry(parts, downstream, original, 'dial-first');
      return;
    case 'look':
      carry(parts, downstream, original, 'look-first');
  }
}

function carry(
  parts: ConnectionParts,
  downstream: net.Socket,
  original: OriginalDestination,
  beginning: 'dial-first' | 'look-first' | 'refuse',
): void {
  const { reporter, judge } = parts;
  let upstream: net.Socket | undefined;
  /** Where the connection leads: the original destination, or that of the first allowed access. */
  let dialled: Dialled | undefined;
  let session: Session | undefined;
  let unidentified: Buffer | undefined;
  let spliced = false;
  let upstreamEnded = false;
  /** The session itself wants no more for now, whatever the upstream could take. */
  let held = false;

  const deadline = setTimeout(() => {
    contain(onDeadline);
  }, parts.detectionTimeoutMs);
  downstream.on('data', onDownstream);
  downstream.on('end', onDownstreamEnd);
  downstream.on('drain', () => {
    upstream?.resume();
    resumeDownstream();
  });
  downstream.on('close', () => {
    clearTimeout(deadline);
    // whoever only listened has accessed it too
    if (session === undefined && upstream !== undefined && upstream.bytesRead > 0)
      judgeWhole(undefined, undefined, NOTHING);
    if (upstream === undefined || upstream.destroyed) return;
    // gone by a reset, or closed by us in order
    if (downstream.readableEnded && downstream.writableFinished) upstream.destroySoon();
    else upstream.resetAndDestroy();
  });

  // ── identify ───────────────────────────────────────────────────────────────────────────────────────────────────

  function onDownstream(bytes: Buffer): void {
    contain(() => {
      takeDownstream(bytes);
    });
  }

  /** The boundary of a connection, for every event of it: a fault of ours ends it, and it alone. */
  function contain(act: () => void): void {
    try {
      act();
    } catch (error) {
      reporter.upstreamError('fault');
      parts.onFault(error);
      io.reset();
    }
  }

  function takeDownstream(bytes: Buffer): void {
    if (session !== undefined) {
      session.fromDownstream(bytes);
      return;
    }
    const seen = unidentified === undefined ? bytes : Buffer.concat([unidentified, bytes]);
    const found = identify(seen);
    if (found === 'more') {
      if (seen.length > MAX_UNIDENTIFIED_BYTES) judgeWhole(undefined, 'too-large', seen);
      else unidentified = seen;
      return;
    }
    unidentified = undefined;
    if (found === 'none') {
      judgeWhole(undefined, undefined, seen);
      return;
    }
    session = found.open(io, { original });
    session.fromDownstream(seen);
  }

  function onDeadline(): void {
    if (session !== undefined) {
      // recognised, and not a whole head or hello since: only a rule that lets anything through lets it go on
      if (judge(original, dialled, wholeFlow(undefined, 'detection-timeout'), () => undefined)?.effect !== 'allow')
        io.reset();
      return;
    }
    // who waits for the server to speak first, where an address rule let us dial, may wait longer
    if (unidentified === undefined && upstream !== undefined) return;
    judgeWhole(undefined, 'detection-timeout', unidentified ?? NOTHING);
  }

  /** The flow as one access: plain TCP, or what cannot be told. */
  function judgeWhole(requestedName: string | undefined, doubt: Doubt | undefined, pending: Buffer): void {
    session = DEAF;
    const answer = io.judge(wholeFlow(requestedName, doubt), () => undefined);
    if (answer?.effect === 'allow') io.splice(answer.permit, pending);
    else io.reset();
  }

  // ── act ────────────────────────────────────────────────────────────────────────────────────────────────────────

  const io: SessionIo = {
    judge(act, then) {
      clearTimeout(deadline);
      const answer = judge(original, dialled, act, (late) => {
        if (downstream.destroyed) return;
        contain(() => {
          note(late);
          then(late);
        });
      });
      if (answer !== undefined) note(answer);
      return answer;
    },
    toUpstream(_permit, bytes) {
      const socket = upstream ?? dial(dialled?.address ?? original.address);
      if (!socket.write(bytes)) downstream.pause();
    },
    toDownstream(bytes) {
      if (downstream.write(bytes)) return;
      upstream?.pause();
      // the server is held by now: what still grows is our own answers to requests that nobody waits for
      if (downstream.writableLength > MAX_UNREAD_BYTES) downstream.pause();
    },
    endUpstream() {
      upstream?.end();
    },
    close() {
      // FIN after the last byte; what still comes is read and dropped, else the kernel would answer it with a reset
      downstream.end();
      downstream.resume();
      downstream.setTimeout(LINGER_MS, () => downstream.destroy());
      session = DEAF;
      upstream?.destroySoon();
    },
    reset() {
      session = DEAF;
      downstream.resetAndDestroy();
    },
    splice(permit, pending) {
      spliced = true;
      if (pending.length > 0) io.toUpstream(permit, pending);
      const socket = upstream ?? dial(dialled?.address ?? original.address);
      downstream.off('data', onDownstream);
      downstream.off('end', onDownstreamEnd);
      pump(permit, downstream, socket);
      if (downstream.readableEnded) socket.end();
      if (upstreamEnded) downstream.end();
    },
    pauseDownstream() {
      held = true;
      downstream.pause();
    },
    resumeDownstream() {
      held = false;
      resumeDownstream();
    },
  };

  if (beginning === 'dial-first') dial(original.address);
  if (beginning === 'refuse') judgeWhole(undefined, 'unidentified', NOTHING);

  function note(answer: Answer): void {
    if (answer.effect === 'allow') dialled ??= answer.access.destination;
  }

  function dial(to: Address): net.Socket {
    dialled ??= { address: to, requestedName: undefined };
    const socket = parts.connect(to, original.port);
    upstream = socket;
    socket.on('data', (bytes: Buffer) => {
      contain(() => {
        if (session === undefined || spliced) io.toDownstream(bytes);
        else session.fromUpstream(bytes);
      });
    });
    socket.on('drain', resumeDownstream);
    socket.on('end', () => {
      upstreamEnded = true;
      contain(() => {
        if (session === undefined || spliced) downstream.end();
        else session.upstreamEnded();
      });
    });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      reporter.upstreamError(error.code ?? 'unknown');
      downstream.resetAndDestroy();
    });
    socket.on('close', () => {
      reporter.bytes('upstream', socket.bytesWritten);
      reporter.bytes('downstream', socket.bytesRead);
      if (!downstream.destroyed) downstream.destroySoon();
    });
    return socket;
  }

  function resumeDownstream(): void {
    const isFull = upstream?.writableNeedDrain === true || downstream.writableLength > MAX_UNREAD_BYTES;
    if (!held && !isFull) downstream.resume();
  }

  function onDownstreamEnd(): void {
    contain(endDownstream);
  }

  function endDownstream(): void {
    if (session !== undefined) {
      session.downstreamEnded();
    } else if (unidentified !== undefined) {
      // what began like a protocol and ended before it could be told
      judgeWhole(undefined, 'malformed', unidentified);
    } else if (upstream !== undefined) {
      // not a byte to say: the server may have
      judgeWhole(undefined, undefined, NOTHING);
      upstream.end();
    } else {
      downstream.end();
    }
  }
}

function wholeFlow(requestedName: string | undefined, doubt: Doubt | undefined): Act {
  return { class: 'tcp', tags: NO_TAGS, operation: NO_OPERATION, requestedName, doubt };
}

const NOTHING = Buffer.alloc(0);

/** After a verdict on the whole, or an end: nothing that still comes is looked at or sent on. */
const DEAF: Session = {
  fromDownstream: () => undefined,
  fromUpstream: () => undefined,
  downstreamEnded: () => undefined,
  upstreamEnded: () => undefined,
};
