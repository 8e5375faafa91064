/**
 * A client's query, strictly: one question of class IN, opcode QUERY, no records but one OPT, not a byte more. What is
 * asked of the resolver is made anew from name and type, so nothing else that a client writes leaves the machine.
 */
import { CLASS_IN, HEADER, readName, TYPES } from './wire.ts';

export interface Query {
  readonly id: number;
  readonly recursionDesired: boolean;
  /** Lower case, no trailing dot. */
  readonly name: string;
  readonly type: number;
  /** As it came: clients check the case that they sent. */
  readonly question: Buffer;
  /** Bytes of a datagram that the client takes; `undefined` without EDNS. */
  readonly ednsSize: number | undefined;
}

export type ParsedQuery =
  { readonly ok: true; readonly query: Query } | { readonly ok: false; readonly reason: string };

const MIN_EDNS_SIZE = 512;
/** A datagram of the 65,535 that some clients offer cannot be sent at all. */
const MAX_EDNS_SIZE = 4096;

export function parseQuery(bytes: Buffer): ParsedQuery {
  const no = (reason: string): ParsedQuery => ({ ok: false, reason });
  if (bytes.length < HEADER) return no('shorter than a header');
  const flags = bytes.readUInt16BE(2);
  if ((flags & 0x8000) !== 0) return no('an answer, not a query');
  if ((flags & 0x7800) !== 0) return no('another opcode than QUERY');
  if (bytes.readUInt16BE(4) !== 1) return no('not exactly one question');
  if (bytes.readUInt16BE(6) !== 0 || bytes.readUInt16BE(8) !== 0) return no('records in a query');
  const additional = bytes.readUInt16BE(10);
  if (additional > 1) return no('more than one additional record');
  const read = readName(bytes, HEADER, false);
  if (read === undefined || read.name === '') return no('a name that is none');
  let end = read.end + 4;
  if (end > bytes.length) return no('cut off');
  const type = bytes.readUInt16BE(read.end);
  if (bytes.readUInt16BE(read.end + 2) !== CLASS_IN) return no('another class than IN');
  const question = Buffer.from(bytes.subarray(HEADER, end));
  let ednsSize: number | undefined;
  if (additional === 1) {
    if (end + 11 > bytes.length || bytes[end] !== 0 || bytes.readUInt16BE(end + 1) !== TYPES['OPT'])
      return no('an additional record that is no OPT');
    if (bytes[end + 6] !== 0) return no('another version of EDNS than 0');
    ednsSize = Math.min(MAX_EDNS_SIZE, Math.max(MIN_EDNS_SIZE, bytes.readUInt16BE(end + 3)));
    // options may be anything: they go nowhere
    end += 11 + bytes.readUInt16BE(end + 9);
  }
  if (end !== bytes.length) return no('bytes after the query');
  return {
    ok: true,
    query: {
      id: bytes.readUInt16BE(0),
      recursionDesired: (flags & 0x0100) !== 0,
      name: read.name,
      type,
      question,
      ednsSize,
    },
  };
}
