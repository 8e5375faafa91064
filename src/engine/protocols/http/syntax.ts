/**
 * The bytes of HTTP/1 (RFC 9110 §5, RFC 9112 §2), as both heads and trailers are read: one table, and the two loops that
 * walk a field. Strict: a line ends with CR LF and nothing else, a name is a token up to its colon, a value holds no control
 * character. What a lenient server might read in another way is an error here.
 */
export const MORE = -1;
export const BAD = -2;

export const TAB = 0x09;
export const LF = 0x0a;
export const CR = 0x0d;
export const SP = 0x20;
export const COLON = 0x3a;

export const TOKEN = 1;
/** VCHAR, SP, HTAB, obs-text */
export const VALUE = 2;
/** What a request target may hold: visible ASCII but `#` (a fragment is never sent). */
export const TARGET = 4;
/** Upper-case letters, digits, `-`, `_`: a method in lower case is one method to some servers and another to the rest. */
export const METHOD = 8;
/** Letters, digits and `-._~:[]`: all that a host with a port may be written with. */
export const AUTHORITY = 16;
export const DIGIT = 32;

export const KIND = tableOfKinds();

function tableOfKinds(): Uint8Array {
  const table = new Uint8Array(256);
  const mark = (kind: number, characters: string): void => {
    for (const character of characters) {
      const code = character.charCodeAt(0);
      table[code] = (table[code] ?? 0) | kind;
    }
  };
  const upper = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ';
  const digits = '0123456789';
  const letters = upper + upper.toLowerCase();
  mark(TOKEN, letters + digits + "!#$%&'*+-.^_`|~");
  mark(METHOD, upper + digits + '-_');
  mark(AUTHORITY, letters + digits + '-._~:[]');
  mark(DIGIT, digits);
  for (let code = 0x20; code < 0x100; code += 1) {
    if (code === 0x7f) continue;
    table[code] = (table[code] ?? 0) | VALUE;
    if (code > 0x20 && code < 0x7f && code !== 0x23) table[code] = (table[code] ?? 0) | TARGET;
  }
  table[TAB] = VALUE;
  return table;
}

/** The index of the colon after a field name that begins at `at`; `MORE` if `limit` comes first, `BAD` if it is no name. */
export function endOfName(bytes: Buffer, at: number, limit: number): number {
  for (let index = at; index < limit; index += 1) {
    const byte = bytes[index] ?? 0;
    if (((KIND[byte] ?? 0) & TOKEN) === 0) return byte === COLON && index > at ? index : BAD;
  }
  return MORE;
}

/** The index of the CR LF that ends the value that begins at `at`; else as `endOfName`. */
export function endOfValue(bytes: Buffer, at: number, limit: number): number {
  for (let index = at; index < limit; index += 1) {
    const byte = bytes[index] ?? 0;
    if (((KIND[byte] ?? 0) & VALUE) !== 0) continue;
    if (byte !== CR) return BAD;
    if (index + 1 === limit) return MORE;
    return bytes[index + 1] === LF ? index : BAD;
  }
  return MORE;
}

/**
 * Whether the bytes from `at` on spell `name` (lower case), in any case. An underscore counts as a hyphen: gateways that pass
 * fields on as environment variables cannot tell the two apart.
 */
export function spells(bytes: Buffer, at: number, name: string): boolean {
  for (let index = 0; index < name.length; index += 1) {
    const byte = bytes[at + index] ?? 0;
    const wanted = name.charCodeAt(index);
    if (byte === wanted || (byte | 0x20) === wanted) continue;
    if (byte !== 0x5f || wanted !== 0x2d) return false;
  }
  return true;
}

/** Whether the `length` bytes at `at` are exactly those of `text` (ASCII). */
export function equals(bytes: Buffer, at: number, length: number, text: string): boolean {
  if (length !== text.length) return false;
  for (let index = 0; index < length; index += 1) {
    if (bytes[at + index] !== text.charCodeAt(index)) return false;
  }
  return true;
}

/**
 * A decimal number of at most 15 digits without sign, leading zero or anything around it; else `BAD`. 15 digits are exact in
 * a double, and more than any body has.
 */
export function decimal(bytes: Buffer, at: number, end: number): number {
  const length = end - at;
  if (length < 1 || length > 15) return BAD;
  if (length > 1 && bytes[at] === 0x30) return BAD;
  let value = 0;
  for (let index = at; index < end; index += 1) {
    const byte = bytes[index] ?? 0;
    if (((KIND[byte] ?? 0) & DIGIT) === 0) return BAD;
    value = value * 10 + byte - 0x30;
  }
  return value;
}

/** Where the value without the blanks before it begins. */
export function skipBlanks(bytes: Buffer, at: number, end: number): number {
  let index = at;
  while (index < end && (bytes[index] === SP || bytes[index] === TAB)) index += 1;
  return index;
}

/** Where the value without the blanks after it ends. */
export function trimBlanks(bytes: Buffer, at: number, end: number): number {
  let index = end;
  while (index > at && (bytes[index - 1] === SP || bytes[index - 1] === TAB)) index -= 1;
  return index;
}

/** The members of a comma-separated list, lower-case. */
export function listMembers(bytes: Buffer, at: number, end: number): string[] {
  return bytes
    .toString('latin1', at, end)
    .toLowerCase()
    .split(',')
    .map((member) => member.trim())
    .filter((member) => member !== '');
}

/**
 * Whether a head that began at 0 can now be settled: it is complete, or holds a line that nothing completes. `from`: what was
 * looked at before. So that a head sent byte by byte is parsed once, not once a byte.
 */
export function isHeadSettled(bytes: Buffer, from: number): boolean {
  for (let index = Math.max(0, from - 3); index < bytes.length; index += 1) {
    const byte = bytes[index];
    const before = index > 0 ? bytes[index - 1] : undefined;
    if (byte === LF) {
      if (before !== CR) return true;
      if (index >= 3 && bytes[index - 2] === LF) return true;
    } else if (before === CR) {
      return true;
    }
  }
  return false;
}
