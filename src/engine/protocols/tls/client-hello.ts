/**
 * The ClientHello of a TLS connection (RFC 8446 §4.1.2, §5.1), for the names that it says in the clear.
 *
 *   record    = %x16 %x03 %x00-04 length16 fragment            1–16,384 bytes, any number of them
 *   handshake = %x01 length24 hello
 *   hello     = %x03 minor random32 session8 suites16 compressions8 [ extensions16 ]
 *
 * Input: all bytes so far. Output: the hello and its length in bytes with the record heads, `more`, or why it cannot stand.
 * Every length is exact. Two names where one must stand are never reduced to one. Encrypted ClientHello cannot be told from
 * its imitation (GREASE): the outer name is what is known, and that it was offered is told.
 */

/** A post-quantum key share takes 1.2 kB, a resumption ticket as much: room for several. */
const MAX_HELLO_BYTES = 16 * 1024;

export interface ClientHello {
  readonly length: number;
  /** As sent, one byte a character; undefined without SNI. */
  readonly serverName: string | undefined;
  readonly alpn: readonly string[];
  readonly offersEncryptedHello: boolean;
}

export type HelloProblem = 'malformed' | 'too-large' | 'ambiguous-name';

/** Clients that split their hello to slip past middleboxes use some ten. */
const MAX_RECORDS = 64;
const CLIENT_HELLO = 1;
const RECORD_HEAD = 5;
const HANDSHAKE_HEAD = 4;
const MAX_RECORD = 16 * 1024;
const EXTENSION_SERVER_NAME = 0;
const EXTENSION_ALPN = 16;
const EXTENSION_ENCRYPTED_HELLO = 0xfe0d;

export function parseClientHello(bytes: Buffer): ClientHello | 'more' | HelloProblem {
  // the handshake message, in as many records as it took
  const fragments: Buffer[] = [];
  let have = 0;
  let total = 0;
  let at = 0;
  for (;;) {
    const problem = problemOfRecordHead(bytes, at);
    if (problem !== undefined) return problem;
    if (fragments.length === MAX_RECORDS) return 'too-large';
    const start = at + RECORD_HEAD;
    const end = start + bytes.readUInt16BE(at + 3);
    const fragment = bytes.subarray(start, end);
    // type and length, which may lie in several records themselves
    for (let index = 0; index < fragment.length && have + index < HANDSHAKE_HEAD; index += 1) {
      const byte = fragment[index] ?? 0;
      if (have + index === 0) {
        if (byte !== CLIENT_HELLO) return 'malformed';
      } else {
        total = total * 256 + byte;
      }
    }
    fragments.push(fragment);
    const before = have;
    have += fragment.length;
    if (have >= HANDSHAKE_HEAD) {
      const wanted = HANDSHAKE_HEAD + total;
      if (wanted > MAX_HELLO_BYTES) return 'too-large';
      // nothing may follow the hello before the server answered, in the same record least of all
      if (before + end - start > wanted) return 'malformed';
      if (have === wanted) return readHello(joined(fragments).subarray(HANDSHAKE_HEAD), end);
    }
    if (end > bytes.length) return 'more';
    at = end;
  }
}

function joined(fragments: readonly Buffer[]): Buffer {
  const [only] = fragments;
  return only !== undefined && fragments.length === 1 ? only : Buffer.concat(fragments);
}

function problemOfRecordHead(bytes: Buffer, at: number): 'more' | 'malformed' | undefined {
  const length = bytes.length - at;
  if (length >= 1 && bytes[at] !== 0x16) return 'malformed';
  if (length >= 2 && bytes[at + 1] !== 3) return 'malformed';
  if (length >= 3 && (bytes[at + 2] ?? 0) > 4) return 'malformed';
  if (length < RECORD_HEAD) return 'more';
  const size = bytes.readUInt16BE(at + 3);
  return size === 0 || size > MAX_RECORD ? 'malformed' : undefined;
}

function readHello(hello: Buffer, length: number): ClientHello | HelloProblem {
  if (hello.length < 35 || hello[0] !== 3) return 'malformed';
  let at = 34;
  const sessionLength = hello[at] ?? 0;
  if (sessionLength > 32) return 'malformed';
  at += 1 + sessionLength;
  if (at + 2 > hello.length) return 'malformed';
  const suitesLength = hello.readUInt16BE(at);
  if (suitesLength === 0 || suitesLength % 2 !== 0) return 'malformed';
  at += 2 + suitesLength;
  if (at + 1 > hello.length) return 'malformed';
  const compressionsLength = hello[at] ?? 0;
  if (compressionsLength === 0) return 'malformed';
  at += 1 + compressionsLength;
  if (at > hello.length) return 'malformed';
  // before TLS 1.2 extensions were optional
  if (at === hello.length) return { length, serverName: undefined, alpn: [], offersEncryptedHello: false };
  if (at + 2 > hello.length || hello.readUInt16BE(at) !== hello.length - at - 2) return 'malformed';
  at += 2;

  let serverName: string | undefined;
  let alpn: readonly string[] | undefined;
  let offersEncryptedHello = false;
  while (at < hello.length) {
    if (at + 4 > hello.length) return 'malformed';
    const type = hello.readUInt16BE(at);
    const start = at + 4;
    const end = start + hello.readUInt16BE(at + 2);
    if (end > hello.length) return 'malformed';
    switch (type) {
      case EXTENSION_SERVER_NAME: {
        if (serverName !== undefined) return 'ambiguous-name';
        const name = readServerName(hello, start, end);
        if (typeof name === 'string') return name;
        serverName = name.text;
        break;
      }
      case EXTENSION_ALPN:
        if (alpn !== undefined) return 'malformed';
        alpn = readAlpn(hello, start, end);
        if (alpn === undefined) return 'malformed';
        break;
      case EXTENSION_ENCRYPTED_HELLO:
        offersEncryptedHello = true;
        break;
      default:
    }
    at = end;
  }
  return { length, serverName, alpn: alpn ?? [], offersEncryptedHello };
}

/** server_name (RFC 6066 §3): a list that may only ever hold one name of the one type there is. */
function readServerName(hello: Buffer, start: number, end: number): { readonly text: string } | HelloProblem {
  if (end - start < 5 || hello.readUInt16BE(start) !== end - start - 2) return 'malformed';
  const nameEnd = start + 5 + hello.readUInt16BE(start + 3);
  if (hello[start + 2] !== 0 || nameEnd > end || nameEnd === start + 5) return 'malformed';
  if (nameEnd < end) return 'ambiguous-name';
  // ASCII alone: a name beyond it is written in punycode, and bytes that are not mean whatever the reader likes
  for (let at = start + 5; at < nameEnd; at += 1) {
    const byte = hello[at] ?? 0;
    if (byte <= 0x20 || byte >= 0x7f) return 'malformed';
  }
  return { text: hello.toString('latin1', start + 5, nameEnd) };
}

/** application_layer_protocol_negotiation (RFC 7301 §3.1) */
function readAlpn(hello: Buffer, start: number, end: number): readonly string[] | undefined {
  if (end - start < 4 || hello.readUInt16BE(start) !== end - start - 2) return undefined;
  const protocols: string[] = [];
  let at = start + 2;
  while (at < end) {
    const length = hello[at] ?? 0;
    if (length === 0 || at + 1 + length > end) return undefined;
    protocols.push(hello.toString('latin1', at + 1, at + 1 + length));
    at += 1 + length;
  }
  return protocols;
}
