/**
 * The whole way of one datagram: received with its original destination → DNS, or the flow that it belongs to →
 * judged once a flow → sent on from a socket of that flow, or refused with ICMP. Answers go back in the destination's
 * name. Flows are bounded; past the bound the one idle longest gives way.
 */
import type dgram from 'node:dgram';
import { LRUCache } from 'lru-cache';
import { NO_OPERATION, NO_TAGS } from '../model/access.ts';
import type { Permit } from '../model/verdict.ts';
import type { Datagram } from '../platform/io/libc.ts';
import type { Address } from '../platform/pure/address.ts';
import type { Reporter } from '../report/reporter.ts';
import { isQuicInitial } from './identify/quic.ts';
import type { DnsProxy } from './intercept/dns/proxy.ts';
import type { Judge } from './judge.ts';
import type { Act } from './protocols/codec.ts';

export interface UdpParts {
  readonly reporter: Reporter;
  readonly judge: Judge;
  readonly dns: DnsProxy;
  /** A datagram socket connected to that address, once its promise settles. */
  readonly connect: (address: Address, port: number) => Promise<dgram.Socket>;
  /** Sends to the application in the name of `from`. */
  readonly answer: (from: Endpoint, to: Endpoint, payload: Uint8Array) => void;
  /** Tells the application that its datagram was prohibited. */
  readonly refuse: (datagram: Pick<Datagram, 'source' | 'original'>, length: number) => void;
}

export interface Endpoint {
  readonly address: Address;
  readonly port: number;
}

const DNS_PORT = 53;
const MAX_FLOWS = 4096;
const FLOW_IDLE_MS = 120_000;
/** A denied flow is judged and reported anew after this long. */
const DENIED_MS = 5_000;
const PURGE_MS = 10_000;
/** Datagrams kept while a flow's name is resolved or its socket opens. */
const MAX_WAITING = 32;

type Flow =
  | { state: 'waiting'; readonly datagrams: Buffer[] }
  | { state: 'open'; readonly permit: Permit; readonly socket: dgram.Socket }
  | { state: 'denied' };

export interface UdpHandler {
  readonly handle: (datagram: Datagram) => void;
  readonly close: () => void;
}

export function createUdpHandler(parts: UdpParts): UdpHandler {
  const { judge, answer, refuse, reporter } = parts;
  const flows = new LRUCache<string, Flow>({
    max: MAX_FLOWS,
    ttl: FLOW_IDLE_MS,
    ttlResolution: 1000,
    dispose: (flow) => {
      if (flow.state === 'open') flow.socket.close();
    },
  });

  function handle(datagram: Datagram): void {
    if (datagram.original.port === DNS_PORT) {
      answerQuery(datagram);
      return;
    }
    const { source, original } = datagram;
    const key = `${source.address.text} ${source.port} ${original.address.text} ${original.port}`;
    const flow = flows.peek(key);
    if (flow === undefined) {
      openFlow(key, datagram);
      return;
    }
    switch (flow.state) {
      case 'open':
        send(flow.permit, flow.socket, datagram.payload);
        keep(key);
        break;
      case 'waiting':
        if (flow.datagrams.length < MAX_WAITING) flow.datagrams.push(Buffer.from(datagram.payload));
        break;
      case 'denied':
        refuse(datagram, datagram.payload.length);
        break;
      default:
        flow satisfies never;
    }
  }

  function keep(key: string): void {
    flows.get(key, { updateAgeOnGet: true });
  }

  function answerQuery({ payload, source, original }: Datagram): void {
    // the receiver's buffer is used again for the next one
    parts.dns.answer(Buffer.from(payload), 'udp', original).then(
      (reply) => {
        if (reply !== undefined) answer(original, source, reply);
      },
      () => undefined, // no answer: the application asks again
    );
  }

  function openFlow(key: string, datagram: Datagram): void {
    const { source, original } = datagram;
    const waiting: Flow = { state: 'waiting', datagrams: [Buffer.from(datagram.payload)] };
    flows.set(key, waiting);
    const act: Act = {
      class: isQuicInitial(datagram.payload) ? 'quic' : 'udp',
      tags: NO_TAGS,
      operation: NO_OPERATION,
      requestedName: undefined,
      doubt: undefined,
    };
    const length = datagram.payload.length;
    const settled = judge(original, undefined, act, () => undefined);
    if (settled?.effect !== 'allow') {
      flows.set(key, { state: 'denied' }, { ttl: DENIED_MS });
      refuse({ source, original }, length);
      return;
    }
    const { permit } = settled;
    parts
      .connect(settled.access.destination.address, original.port)
      .then((socket) => {
        if (flows.peek(key) !== waiting) {
          socket.close();
          return;
        }
        socket.on('message', (payload) => {
          reporter.bytes('downstream', payload.length);
          answer(original, source, payload);
          keep(key);
        });
        socket.on('error', (error: NodeJS.ErrnoException) => {
          reporter.upstreamError(error.code ?? 'unknown');
        });
        const open: Flow = { state: 'open', permit, socket };
        flows.set(key, open);
        for (const payload of waiting.datagrams) send(permit, socket, payload);
      })
      .catch((error: unknown) => {
        reporter.upstreamError(error instanceof Error && 'code' in error ? String(error.code) : 'unknown');
        flows.delete(key);
      });
  }

  function send(_permit: Permit, socket: dgram.Socket, payload: Buffer): void {
    reporter.bytes('upstream', payload.length);
    // dgram sends later: the receiver's buffer may hold another datagram by then
    socket.send(Buffer.from(payload), () => undefined);
  }

  const purge = setInterval(() => flows.purgeStale(), PURGE_MS);
  purge.unref();

  return {
    handle,
    close: () => {
      clearInterval(purge);
      flows.clear();
    },
  };
}
