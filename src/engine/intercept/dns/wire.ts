/**
 * DNS messages (RFC 1035, 6891, 8914, 9460) as bytes. Names are lower-case text of letters, digits, hyphens and
 * underscores: a label that holds a dot or a NUL could be read as another name by the next reader, and is refused.
 */

export const TYPES: Readonly<Record<string, number>> = {
  A: 1,
  NS: 2,
  CNAME: 5,
  SOA: 6,
  NULL: 10,
  PTR: 12,
  MX: 15,
  TXT: 16,
  AAAA: 28,
  SRV: 33,
  NAPTR: 35,
  DNAME: 39,
  OPT: 41,
  DS: 43,
  DNSKEY: 48,
  TLSA: 52,
  SVCB: 64,
  HTTPS: 65,
  AXFR: 252,
  ANY: 255,
  CAA: 257,
};
const TYPE_NAMES = new Map(Object.entries(TYPES).map(([name, number]) => [number, name]));

export const RCODE = { NOERROR: 0, FORMERR: 1, SERVFAIL: 2, NXDOMAIN: 3, REFUSED: 5 } as const;
export const CLASS_IN = 1;
export const HEADER = 12;

/** RFC 3597's form for types without a name here. */
export function typeName(type: number): string {
  return TYPE_NAMES.get(type) ?? `TYPE${type}`;
}

const MAX_NAME = 255;
const MAX_POINTERS = 32;

/** A name at `offset`, and where it ends. `pointers`: whether compression is taken, as in answers. */
export function readName(
  bytes: Buffer,
  offset: number,
  pointers: boolean,
): { readonly name: string; readonly end: number } | undefined {
  const labels: string[] = [];
  let end: number | undefined;
  let length = 1;
  let at = offset;
  for (let jumps = 0; ;) {
    const size = bytes[at];
    if (size === undefined) return undefined;
    if (size >= 0xc0) {
      const low = bytes[at + 1];
      const target = ((size & 0x3f) << 8) | (low ?? 0);
      // only backwards: no loops
      if (!pointers || low === undefined || target >= at || (jumps += 1) > MAX_POINTERS) return undefined;
      end ??= at + 2;
      at = target;
      continue;
    }
    if (size > 63) return undefined;
    if (size === 0) return { name: labels.join('.'), end: end ?? at + 1 };
    length += size + 1;
    if (length > MAX_NAME || at + 1 + size > bytes.length) return undefined;
    const label = readLabel(bytes, at + 1, size);
    if (label === undefined) return undefined;
    labels.push(label);
    at += 1 + size;
  }
}

function readLabel(bytes: Buffer, start: number, size: number): string | undefined {
  for (let at = start; at < start + size; at += 1) {
    const code = bytes[at] ?? 0;
    const allowed =
      (code >= 97 && code <= 122) ||
      (code >= 65 && code <= 90) ||
      (code >= 48 && code <= 57) ||
      code === 45 ||
      code === 95;
    if (!allowed) return undefined;
  }
  return bytes.toString('latin1', start, start + size).toLowerCase();
}

/** Uncompressed. The name came from `readName` or `canonicalHost`. */
export function encodeName(name: string): Buffer {
  if (name === '') return Buffer.from([0]);
  return Buffer.concat([
    ...name.split('.').flatMap((label) => [Buffer.from([label.length]), Buffer.from(label, 'latin1')]),
    Buffer.from([0]),
  ]);
}

export interface ResourceRecord {
  readonly name: string;
  readonly type: number;
  readonly ttl: number;
  /** Names in it are uncompressed. */
  readonly data: Buffer;
}

export interface Message {
  readonly id: number;
  readonly rcode: number;
  readonly truncated: boolean;
  readonly question: { readonly name: string; readonly type: number };
  readonly answers: readonly ResourceRecord[];
  /** The SOA of a negative answer, where there is one. */
  readonly soa: ResourceRecord | undefined;
}

/** A server's answer. `undefined` for what is not well-formed; records of unreadable names are left out. */
export function parseAnswer(bytes: Buffer): Message | undefined {
  if (bytes.length < HEADER) return undefined;
  const flags = bytes.readUInt16BE(2);
  const isAnswer = (flags & 0x8000) !== 0 && (flags & 0x7800) === 0;
  if (!isAnswer || bytes.readUInt16BE(4) !== 1) return undefined;
  const asked = readName(bytes, HEADER, false);
  if (asked === undefined || asked.end + 4 > bytes.length || bytes.readUInt16BE(asked.end + 2) !== CLASS_IN)
    return undefined;
  const answers: ResourceRecord[] = [];
  let soa: ResourceRecord | undefined;
  const truncated = (flags & 0x0200) !== 0;
  let at = asked.end + 4;
  const counts = [bytes.readUInt16BE(6), bytes.readUInt16BE(8)];
  for (const [section, count] of counts.entries()) {
    for (let index = 0; index < count; index += 1) {
      const skipped = skipName(bytes, at);
      if (skipped === undefined || skipped + 10 > bytes.length) return truncated ? finish() : undefined;
      const size = bytes.readUInt16BE(skipped + 8);
      const end = skipped + 10 + size;
      if (end > bytes.length) return truncated ? finish() : undefined;
      const record = readRecord(bytes, at, skipped, end);
      if (record !== undefined && section === 0) answers.push(record);
      if (record?.type === TYPES['SOA']) soa = record;
      at = end;
    }
  }
  return finish();

  function finish(): Message {
    const question = { name: asked?.name ?? '', type: bytes.readUInt16BE(asked?.end ?? HEADER) };
    return { id: bytes.readUInt16BE(0), rcode: flags & 0x0f, truncated, question, answers, soa };
  }
}

function skipName(bytes: Buffer, offset: number): number | undefined {
  for (let at = offset; ;) {
    const size = bytes[at];
    if (size === undefined) return undefined;
    if (size >= 0xc0) return at + 2;
    if (size > 63) return undefined;
    if (size === 0) return at + 1;
    at += size + 1;
  }
}

function readRecord(bytes: Buffer, start: number, afterName: number, end: number): ResourceRecord | undefined {
  const owner = readName(bytes, start, true);
  const type = bytes.readUInt16BE(afterName);
  if (owner === undefined || bytes.readUInt16BE(afterName + 2) !== CLASS_IN) return undefined;
  const ttl = bytes.readUInt32BE(afterName + 4);
  const data = expandData(bytes, type, afterName + 10, end);
  // RFC 2181 §8: a TTL with its top bit set is zero
  return data && { name: owner.name, type, ttl: ttl > 0x7fffffff ? 0 : ttl, data };
}

interface DataLayout {
  readonly before: number;
  readonly names: number;
  readonly after: number;
}

const ONE_NAME: DataLayout = { before: 0, names: 1, after: 0 };
const TWO_NAMES: DataLayout = { before: 0, names: 2, after: 0 };
const PREFERENCE_AND_NAME: DataLayout = { before: 2, names: 1, after: 0 };

/** The types whose data may hold compressed names (RFC 3597 §4), and how many bytes stand before and after them. */
const NAMES_IN_DATA: ReadonlyMap<number, DataLayout> = new Map([
  [2, ONE_NAME], // NS
  [3, ONE_NAME], // MD
  [4, ONE_NAME], // MF
  [5, ONE_NAME], // CNAME
  [6, { before: 0, names: 2, after: 20 }], // SOA
  [7, ONE_NAME], // MB
  [8, ONE_NAME], // MG
  [9, ONE_NAME], // MR
  [12, ONE_NAME], // PTR
  [14, TWO_NAMES], // MINFO
  [15, PREFERENCE_AND_NAME], // MX
  [17, TWO_NAMES], // RP
  [18, PREFERENCE_AND_NAME], // AFSDB
  [21, PREFERENCE_AND_NAME], // RT
  [26, { before: 2, names: 2, after: 0 }], // PX
  [33, { before: 6, names: 1, after: 0 }], // SRV
  [36, PREFERENCE_AND_NAME], // KX
  [39, ONE_NAME], // DNAME
]);

/** `undefined` where the size is not the names': what is left over would be read as another record by some. */
function expandData(bytes: Buffer, type: number, start: number, end: number): Buffer | undefined {
  const layout = NAMES_IN_DATA.get(type);
  if (layout === undefined) return Buffer.from(bytes.subarray(start, end));
  const parts = [bytes.subarray(start, start + layout.before)];
  let at = start + layout.before;
  for (let index = 0; index < layout.names; index += 1) {
    const read = readName(bytes, at, true);
    if (read === undefined || read.end > end) return undefined;
    parts.push(encodeName(read.name));
    at = read.end;
  }
  if (at + layout.after !== end) return undefined;
  parts.push(bytes.subarray(at, end));
  return Buffer.concat(parts);
}

/** A query of our own: recursion desired, EDNS with 1232 bytes and nothing else in it. */
export function encodeQuery(id: number, name: string, type: number): Buffer {
  const header = Buffer.alloc(HEADER);
  header.writeUInt16BE(id, 0);
  header.writeUInt16BE(0x0100, 2);
  header.writeUInt16BE(1, 4);
  header.writeUInt16BE(1, 10);
  const tail = Buffer.alloc(4 + 11);
  tail.writeUInt16BE(type, 0);
  tail.writeUInt16BE(CLASS_IN, 2);
  tail.writeUInt16BE(TYPES['OPT'] ?? 0, 5);
  tail.writeUInt16BE(1232, 7);
  return Buffer.concat([header, encodeName(name), tail]);
}
