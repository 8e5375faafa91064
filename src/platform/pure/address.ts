/**
 * IP addresses in one canonical form. Input: text as people, kernels and packets write it. An IPv4-mapped IPv6
 * address is its IPv4 address; octal, hex, short and padded forms are refused, never guessed.
 */

export type Address =
  | { readonly family: 4; readonly text: string; readonly bits: readonly [number] }
  | { readonly family: 6; readonly text: string; readonly bits: readonly [number, number, number, number] };

/** `prefix` counts bits of the family (0–32, 0–128); bits beyond it are zero. */
export interface Cidr {
  readonly address: Address;
  readonly prefix: number;
  readonly text: string;
}

/** `undefined` for anything but a strict dotted quad or an RFC 4291 text form without zone and brackets. */
export function parseAddress(text: string): Address | undefined {
  if (text.includes(':')) return parseIpv6(text);
  const value = parseIpv4(text);
  return value === undefined ? undefined : ipv4FromBits(value);
}

export function ipv4FromBits(value: number): Address {
  const bits = value >>> 0;
  return { family: 4, text: `${bits >>> 24}.${(bits >>> 16) & 255}.${(bits >>> 8) & 255}.${bits & 255}`, bits: [bits] };
}

/** Words in network order. `::ffff:a.b.c.d` becomes IPv4. */
function ipv6FromWords(words: readonly [number, number, number, number]): Address {
  if (words[0] === 0 && words[1] === 0 && words[2] === 0xffff) return ipv4FromBits(words[3]);
  return { family: 6, text: formatIpv6(words), bits: words };
}

/** From 4 or 16 bytes in network order. */
export function addressFromBytes(bytes: Uint8Array): Address | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length === 4) return ipv4FromBits(view.getUint32(0));
  if (bytes.length !== 16) return undefined;
  return ipv6FromWords([view.getUint32(0), view.getUint32(4), view.getUint32(8), view.getUint32(12)]);
}

/** 4 or 16 bytes in network order. */
export function addressToBytes(address: Address): Uint8Array {
  const bytes = new Uint8Array(address.bits.length * 4);
  const view = new DataView(bytes.buffer);
  address.bits.forEach((word, index) => {
    view.setUint32(index * 4, word);
  });
  return bytes;
}

/** An address alone is a whole-length prefix. Host bits that are set are refused: `10.0.0.1/8` is a typing error. */
export function parseCidr(text: string): Cidr | undefined {
  const slash = text.indexOf('/');
  const address = parseAddress(slash < 0 ? text : text.slice(0, slash));
  if (address === undefined) return undefined;
  const width = address.bits.length * 32;
  let prefix = width;
  if (slash >= 0) {
    const digits = text.slice(slash + 1);
    if (!/^(0|[1-9]\d{0,2})$/.test(digits)) return undefined;
    prefix = Number(digits);
    // `::ffff:10.0.0.0/104` counts bits of IPv6
    if (address.family === 4 && text.includes(':')) prefix -= 96;
    if (prefix < 0 || prefix > width) return undefined;
  }
  for (let index = 0; index < address.bits.length; index += 1) {
    if (((address.bits[index] ?? 0) & ~maskOfWord(prefix, index)) !== 0) return undefined;
  }
  return { address, prefix, text: `${address.text}/${prefix}` };
}

export function cidrContains(cidr: Cidr, address: Address): boolean {
  if (cidr.address.family !== address.family) return false;
  for (let index = 0; index < address.bits.length; index += 1) {
    const mask = maskOfWord(cidr.prefix, index);
    if (((cidr.address.bits[index] ?? 0) & mask) !== ((address.bits[index] ?? 0) & mask)) return false;
  }
  return true;
}

function maskOfWord(prefix: number, index: number): number {
  const bits = Math.min(32, Math.max(0, prefix - index * 32));
  return bits === 0 ? 0 : -1 << (32 - bits);
}

function parseIpv4(text: string): number | undefined {
  const parts = text.split('.');
  if (parts.length !== 4) return undefined;
  let value = 0;
  for (const part of parts) {
    // a leading zero is octal to some parsers and decimal to others
    if (!/^(0|[1-9]\d{0,2})$/.test(part)) return undefined;
    const byte = Number(part);
    if (byte > 255) return undefined;
    value = value * 256 + byte;
  }
  return value;
}

function parseIpv6(text: string): Address | undefined {
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const head = groupsOf(halves[0] ?? '', halves.length === 1);
  const tail = halves.length === 2 ? groupsOf(halves[1] ?? '', true) : [];
  if (head === undefined || tail === undefined) return undefined;
  const missing = 8 - head.length - tail.length;
  if (halves.length === 1 ? missing !== 0 : missing < 1) return undefined;
  const groups = [...head, ...new Array<number>(missing).fill(0), ...tail];
  const word = (index: number): number => (((groups[index] ?? 0) << 16) | (groups[index + 1] ?? 0)) >>> 0;
  return ipv6FromWords([word(0), word(2), word(4), word(6)]);
}

/** 16-bit groups; a dotted quad may stand last where `mayEndDotted`. */
function groupsOf(text: string, mayEndDotted: boolean): number[] | undefined {
  if (text === '') return [];
  const groups: number[] = [];
  const parts = text.split(':');
  for (const [index, part] of parts.entries()) {
    if (/^[0-9a-fA-F]{1,4}$/.test(part)) {
      groups.push(Number.parseInt(part, 16));
      continue;
    }
    const dotted = mayEndDotted && index === parts.length - 1 ? parseIpv4(part) : undefined;
    if (dotted === undefined) return undefined;
    groups.push(dotted >>> 16, dotted & 0xffff);
  }
  return groups;
}

/** RFC 5952: lower case, no leading zeros, the first longest run of two or more zero groups as `::`. */
function formatIpv6(words: readonly number[]): string {
  const groups = words.flatMap((word) => [word >>> 16, word & 0xffff]);
  let bestStart = -1;
  let bestLength = 1;
  for (let start = 0; start < 8; start += 1) {
    let length = 0;
    while (start + length < 8 && groups[start + length] === 0) length += 1;
    if (length > bestLength) {
      bestStart = start;
      bestLength = length;
    }
  }
  const text = (part: readonly number[]): string => part.map((group) => group.toString(16)).join(':');
  if (bestStart < 0) return text(groups);
  return `${text(groups.slice(0, bestStart))}::${text(groups.slice(bestStart + bestLength))}`;
}
