/**
 * What of a resolver's answer the application gets to see. Only records of the chain that begins at the asked name; only
 * addresses that the name may answer with; no offer of encrypted ClientHello. The addresses that are left are bound to
 * the asked name alone: the names between are the zone's affair, and whoever wants them asks for them.
 */
import { addressFromBytes, addressToBytes, type Address } from '../../../platform/pure/address.ts';
import { readName, TYPES, type Message, type ResourceRecord } from './wire.ts';

export interface SanitizedAnswer {
  readonly records: readonly ResourceRecord[];
  readonly addresses: readonly Address[];
  /** The shortest TTL of the records, seconds. */
  readonly ttl: number;
  /** Addresses that were there and may not be. */
  readonly refused: number;
}

const MAX_CHAIN = 16;
const MAX_RECORDS = 1_000;
const SVC_PARAM = { mandatory: 0, ipv4hint: 4, ech: 5, ipv6hint: 6 } as const;

export function sanitizeAnswer(message: Message, mayAnswer: (address: Address) => boolean): SanitizedAnswer {
  const { type } = message.question;
  const records: ResourceRecord[] = [];
  const addresses: Address[] = [];
  let refused = 0;
  const admit = (address: Address | undefined): boolean => {
    if (address === undefined || !mayAnswer(address)) {
      refused += 1;
      return false;
    }
    addresses.push(address);
    return true;
  };

  let owner = message.question.name;
  for (let hop = 0; hop < MAX_CHAIN; hop += 1) {
    const alias = message.answers.find((record) => record.name === owner && record.type === TYPES['CNAME']);
    if (alias === undefined || type === TYPES['CNAME']) break;
    const target = readName(alias.data, 0, false);
    if (target === undefined) break;
    records.push(alias);
    owner = target.name;
  }
  for (const record of message.answers) {
    if (record.name !== owner || (record.type !== type && type !== TYPES['ANY']) || records.length >= MAX_RECORDS)
      continue;
    if (record.type === TYPES['A'] || record.type === TYPES['AAAA']) {
      const size = record.type === TYPES['A'] ? 4 : 16;
      if (record.data.length === size && admit(addressFromBytes(record.data))) records.push(record);
    } else if (record.type === TYPES['HTTPS'] || record.type === TYPES['SVCB']) {
      const cleaned = cleanServiceBinding(record.data, admit);
      if (cleaned !== undefined) records.push({ ...record, data: cleaned });
    } else records.push(record);
  }
  const ttl = records.reduce((least, record) => Math.min(least, record.ttl), 86_400);
  return { records, addresses, ttl, refused };
}

/**
 * RFC 9460 §2.2: priority, target, then parameters in the order of their keys. `undefined` for what is not that, and for
 * a record that insists on a parameter that was taken out: clients would call it malformed, and all its neighbours with it.
 */
function cleanServiceBinding(data: Buffer, admit: (address: Address | undefined) => boolean): Buffer | undefined {
  if (data.length < 3) return undefined;
  const target = readName(data, 2, false);
  if (target === undefined) return undefined;
  const parts = [data.subarray(0, target.end)];
  const removed = new Set<number>();
  const mandatory: number[] = [];
  for (let at = target.end; at < data.length;) {
    if (at + 4 > data.length) return undefined;
    const key = data.readUInt16BE(at);
    const end = at + 4 + data.readUInt16BE(at + 2);
    if (end > data.length) return undefined;
    if (key === SVC_PARAM.mandatory) {
      for (let from = at + 4; from + 2 <= end; from += 2) mandatory.push(data.readUInt16BE(from));
    }
    if (key === SVC_PARAM.ipv4hint || key === SVC_PARAM.ipv6hint) {
      const kept = hintedAddresses(data.subarray(at + 4, end), key === SVC_PARAM.ipv4hint ? 4 : 16).filter(admit);
      if (kept.length > 0)
        parts.push(
          encodeParameter(key, Buffer.concat(kept.flatMap((address) => (address ? [addressToBytes(address)] : [])))),
        );
      else removed.add(key);
    } else if (key === SVC_PARAM.ech) removed.add(key);
    else parts.push(data.subarray(at, end));
    at = end;
  }
  return mandatory.some((key) => removed.has(key)) ? undefined : Buffer.concat(parts);
}

function hintedAddresses(bytes: Buffer, size: 4 | 16): (Address | undefined)[] {
  const addresses: (Address | undefined)[] = [];
  for (let at = 0; at + size <= bytes.length; at += size)
    addresses.push(addressFromBytes(bytes.subarray(at, at + size)));
  // an IPv4-mapped hint is no IPv6 address to send back
  return addresses.filter((address) => address === undefined || address.bits.length * 4 === size);
}

function encodeParameter(key: number, value: Buffer): Buffer {
  const head = Buffer.alloc(4);
  head.writeUInt16BE(key, 0);
  head.writeUInt16BE(value.length, 2);
  return Buffer.concat([head, value]);
}
