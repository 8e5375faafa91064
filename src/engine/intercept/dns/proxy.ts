/**
 * The DNS that the application talks to, whatever server it addressed. A query is read strictly, judged by name and type
 * (the name itself can carry data out, so a denied one is never asked), asked anew of our own resolvers, and the answer
 * cleaned. What cannot be answered: SERVFAIL.
 */
import type net from 'node:net';
import { NO_OPERATION } from '../../../model/access.ts';
import { addressFromBytes, addressToBytes, parseAddress, type Address } from '../../../platform/pure/address.ts';
import type { Bindings } from '../../bindings.ts';
import type { Judge, OriginalDestination } from '../../judge.ts';
import { buildAnswer, buildFormatError, EDE_PROHIBITED } from './answer.ts';
import type { DnsClient } from './client.ts';
import { parseQuery, type ParsedQuery, type Query } from './query.ts';
import { sanitizeAnswer } from './sanitize.ts';
import { encodeName, RCODE, typeName, TYPES, type ResourceRecord } from './wire.ts';

export interface DnsProxyParts {
  readonly client: DnsClient;
  readonly bindings: Bindings;
  readonly judge: Judge;
  readonly mayAnswer: (name: string, address: Address) => boolean;
  /** Names that the firewall answers itself. */
  readonly virtualHosts: ReadonlyMap<string, readonly Address[]>;
  readonly searchDomains: readonly string[];
  readonly count: (outcome: DnsOutcome) => void;
}

export type DnsOutcome = 'forwarded' | 'answered' | 'refused' | 'nxdomain' | 'failed' | 'malformed';
type Transport = 'udp' | 'tcp';

export interface DnsProxy {
  /** The answer; `undefined` where there is none to give. Never rejects. */
  answer(bytes: Buffer, transport: Transport, original: OriginalDestination): Promise<Buffer | undefined>;
  /** Names of addresses, for connections that the firewall settles itself. Rejects where no server answers. */
  resolve(name: string, family: 4 | 6): Promise<readonly Address[]>;
}

const MAX_PENDING = 1_000;
const OWN_TTL = 60;

export function createDnsProxy(parts: DnsProxyParts): DnsProxy {
  const { client, bindings, judge, mayAnswer, virtualHosts, searchDomains, count } = parts;
  let pending = 0;

  async function answer(
    bytes: Buffer,
    transport: Transport,
    original: OriginalDestination,
  ): Promise<Buffer | undefined> {
    const parsed = parseQuery(bytes);
    try {
      return await answerParsed(bytes, parsed, transport, original);
    } catch {
      count('failed');
      return parsed.ok ? buildAnswer(parsed.query, transport, RCODE.SERVFAIL) : undefined;
    }
  }

  async function answerParsed(
    bytes: Buffer,
    parsed: ParsedQuery,
    transport: Transport,
    original: OriginalDestination,
  ): Promise<Buffer | undefined> {
    if (!parsed.ok) {
      count('malformed');
      judge(
        original,
        undefined,
        { class: 'dns', tags: {}, operation: NO_OPERATION, requestedName: undefined, doubt: 'malformed' },
        () => undefined,
      );
      return buildFormatError(bytes);
    }
    const { query } = parsed;
    const pointed = query.type === TYPES['PTR'] ? addressOfPointer(query.name) : undefined;
    const known = pointed && bindings.namesOf(pointed)[0];
    if (known !== undefined) {
      count('answered');
      return buildAnswer(query, transport, RCODE.NOERROR, [own(query, encodeName(known))]);
    }
    const tags = { 'dns.name': query.name, 'dns.type': typeName(query.type) };
    const verdict = judge(
      original,
      undefined,
      { class: 'dns', tags, operation: NO_OPERATION, requestedName: undefined, doubt: undefined },
      () => undefined,
    );
    if (verdict?.effect !== 'allow')
      return refuse(
        query,
        transport,
        verdict === undefined ? '' : `${verdict.id}: ${verdict.remedy}`,
        pointed !== undefined,
      );
    const virtual = virtualHosts.get(query.name);
    if (virtual !== undefined) {
      count('answered');
      return buildAnswer(query, transport, RCODE.NOERROR, virtualRecords(query, virtual));
    }
    if (pending >= MAX_PENDING) {
      count('failed');
      return buildAnswer(query, transport, RCODE.SERVFAIL);
    }
    pending += 1;
    try {
      return await forward(query, transport);
    } finally {
      pending -= 1;
    }
  }

  function refuse(query: Query, transport: Transport, text: string, isPointer: boolean): Buffer {
    // glibc stops at REFUSED instead of trying the next search domain; and the name of an address is asked for in passing
    const passing = isPointer || searchDomains.some((domain) => query.name.endsWith(`.${domain}`));
    count(passing ? 'nxdomain' : 'refused');
    return buildAnswer(query, transport, passing ? RCODE.NXDOMAIN : RCODE.REFUSED, [], [], {
      code: EDE_PROHIBITED,
      text,
    });
  }

  async function forward(query: Query, transport: Transport): Promise<Buffer> {
    const message = await client.ask(query.name, query.type);
    const clean = sanitizeAnswer(message, (address) => mayAnswer(query.name, address));
    if (clean.addresses.length > 0) bindings.bind(query.name, clean.addresses, clean.ttl);
    count('forwarded');
    const isForAddress = query.type === TYPES['A'] || query.type === TYPES['AAAA'];
    if (isForAddress && clean.refused > 0 && clean.addresses.length === 0) {
      const text = `${query.name} answers with an address that its rule does not permit: add the range to the rule’s cidrs if it is meant`;
      return buildAnswer(query, transport, RCODE.NXDOMAIN, [], [], { code: EDE_PROHIBITED, text });
    }
    const authority = clean.records.length === 0 && message.soa !== undefined ? [message.soa] : [];
    const rcode = message.rcode === RCODE.REFUSED ? RCODE.SERVFAIL : message.rcode;
    return buildAnswer(query, transport, rcode, clean.records, authority);
  }

  return {
    answer,
    async resolve(name, family) {
      const virtual = virtualHosts.get(name);
      if (virtual !== undefined) return virtual.filter((address) => address.family === family);
      const message = await client.ask(name, (family === 4 ? TYPES['A'] : TYPES['AAAA']) ?? 0);
      const { addresses, ttl } = sanitizeAnswer(message, (address) => mayAnswer(name, address));
      if (addresses.length > 0) bindings.bind(name, addresses, ttl);
      return addresses;
    },
  };
}

function own(query: Query, data: Buffer): ResourceRecord {
  return { name: query.name, type: query.type, ttl: OWN_TTL, data };
}

function virtualRecords(query: Query, addresses: readonly Address[]): ResourceRecord[] {
  const family = query.type === TYPES['A'] ? 4 : query.type === TYPES['AAAA'] ? 6 : undefined;
  return addresses
    .filter((address) => address.family === family)
    .map((address) => own(query, Buffer.from(addressToBytes(address))));
}

/** `4.3.2.1.in-addr.arpa` and its nibbles in ip6.arpa. */
function addressOfPointer(name: string): Address | undefined {
  const four = /^((?:\d{1,3}\.){4})in-addr\.arpa$/.exec(name)?.[1];
  if (four !== undefined) return parseAddress(four.split('.').slice(0, 4).reverse().join('.'));
  const six = /^((?:[0-9a-f]\.){32})ip6\.arpa$/.exec(name)?.[1];
  return six === undefined ? undefined : addressFromBytes(Buffer.from(six.split('.').reverse().join(''), 'hex'));
}

const IDLE_MS = 30_000;
const MAX_QUEUED_BYTES = 256 * 1024;
/** Queries of one connection that wait for their answers; beyond them it is not read from. */
const MAX_IN_FLIGHT = 100;

/** DNS over TCP (RFC 7766): queries with their lengths before them, answered as they come to be, not in their order. */
export function openDnsConversation(proxy: DnsProxy, original: OriginalDestination, socket: net.Socket): void {
  let received: Buffer = Buffer.alloc(0);
  let inFlight = 0;
  let ended = false;
  socket.setTimeout(IDLE_MS, () => socket.destroy());
  socket.on('data', (bytes: Buffer) => {
    received = received.length === 0 ? bytes : Buffer.concat([received, bytes]);
    takeQueries();
  });
  socket.on('end', () => {
    ended = true;
    endWhenDone();
  });

  function takeQueries(): void {
    while (received.length >= 2 && inFlight < MAX_IN_FLIGHT && !socket.destroyed) {
      const size = received.readUInt16BE(0);
      if (received.length < 2 + size) break;
      const query = Buffer.from(received.subarray(2, 2 + size));
      received = received.subarray(2 + size);
      inFlight += 1;
      void proxy.answer(query, 'tcp', original).then(sendReply);
    }
    if (inFlight < MAX_IN_FLIGHT) socket.resume();
    else socket.pause();
  }

  function sendReply(reply: Buffer | undefined): void {
    inFlight -= 1;
    if (socket.destroyed) return;
    if (reply === undefined || socket.writableLength > MAX_QUEUED_BYTES) {
      socket.resetAndDestroy();
      return;
    }
    const prefix = Buffer.alloc(2);
    prefix.writeUInt16BE(reply.length);
    socket.write(Buffer.concat([prefix, reply]));
    takeQueries();
    endWhenDone();
  }

  function endWhenDone(): void {
    if (ended && inFlight === 0) socket.end();
  }
}
