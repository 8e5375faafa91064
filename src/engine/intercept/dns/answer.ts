/** The answers that we give: to a client's question, in its own words, no larger than it takes. */
import type { Query } from './query.ts';
import { encodeName, HEADER, RCODE, TYPES, CLASS_IN, type ResourceRecord } from './wire.ts';

/** RFC 8914: what the code of a refusal means to a person. */
export interface ExtendedError {
  readonly code: number;
  readonly text: string;
}

export const EDE_PROHIBITED = 18;

const QUESTION_POINTER = Buffer.from([0xc0, HEADER]);
const MAX_TCP = 65_535;
const MAX_EXTENDED_TEXT = 300;
const OPT_HEAD = 11;
/** Option code, its length, and the code of the extended error. */
const OPTION_HEAD = 6;

export function buildAnswer(
  query: Query,
  transport: 'udp' | 'tcp',
  rcode: number,
  answers: readonly ResourceRecord[] = [],
  authority: readonly ResourceRecord[] = [],
  extended?: ExtendedError,
): Buffer {
  const limit = transport === 'tcp' ? MAX_TCP : (query.ednsSize ?? 512);
  const edns = query.ednsSize === undefined ? [] : [encodeOpt(extended, limit - HEADER - query.question.length)];
  const records = [...answers.map((record) => encodeRecord(record, query.name))];
  const negatives = authority.map((record) => encodeRecord(record, query.name));
  const size = HEADER + query.question.length + length(records) + length(negatives) + length(edns);
  const cut = size > limit;
  const header = Buffer.alloc(HEADER);
  header.writeUInt16BE(query.id, 0);
  header.writeUInt16BE(0x8080 | (query.recursionDesired ? 0x0100 : 0) | (cut ? 0x0200 : 0) | rcode, 2);
  header.writeUInt16BE(1, 4);
  header.writeUInt16BE(cut ? 0 : records.length, 6);
  header.writeUInt16BE(cut ? 0 : negatives.length, 8);
  header.writeUInt16BE(edns.length, 10);
  return Buffer.concat([header, query.question, ...(cut ? [] : [...records, ...negatives]), ...edns]);
}

/** To bytes that are no query: only where they hold an id to answer to. */
export function buildFormatError(bytes: Buffer): Buffer | undefined {
  if (bytes.length < 2 || (bytes.length > 2 && ((bytes[2] ?? 0) & 0x80) !== 0)) return undefined;
  const header = Buffer.alloc(HEADER);
  bytes.copy(header, 0, 0, 2);
  // the opcode is echoed, whatever it is
  header.writeUInt16BE(0x8080 | (((bytes[2] ?? 0) & 0x78) << 8) | RCODE.FORMERR, 2);
  return header;
}

function length(parts: readonly Buffer[]): number {
  return parts.reduce((sum, part) => sum + part.length, 0);
}

function encodeRecord({ name, type, ttl, data }: ResourceRecord, asked: string): Buffer {
  const fixed = Buffer.alloc(10);
  fixed.writeUInt16BE(type, 0);
  fixed.writeUInt16BE(CLASS_IN, 2);
  fixed.writeUInt32BE(ttl, 4);
  fixed.writeUInt16BE(data.length, 8);
  return Buffer.concat([name === asked ? QUESTION_POINTER : encodeName(name), fixed, data]);
}

/** No larger than `limit`: a refusal that is cut would be asked for again over TCP, and refused there again. */
function encodeOpt(extended: ExtendedError | undefined, limit: number): Buffer {
  const whole = Buffer.from(extended?.text.slice(0, MAX_EXTENDED_TEXT) ?? '');
  const text = OPT_HEAD + OPTION_HEAD + whole.length <= limit ? whole : Buffer.alloc(0);
  const option = Buffer.alloc(extended === undefined ? 0 : OPTION_HEAD);
  if (extended !== undefined) {
    option.writeUInt16BE(15, 0);
    option.writeUInt16BE(2 + text.length, 2);
    option.writeUInt16BE(extended.code, 4);
  }
  const head = Buffer.alloc(OPT_HEAD);
  head.writeUInt16BE(TYPES['OPT'] ?? 0, 1);
  head.writeUInt16BE(1232, 3);
  head.writeUInt16BE(option.length + text.length, 9);
  return Buffer.concat([head, option, text]);
}
