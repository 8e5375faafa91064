/**
 * The head of one HTTP/1 request, over the bytes as they came (RFC 9112 §3, §5, §6).
 *
 *   head    = method SP target SP "HTTP/1." ( "0" / "1" ) CRLF *( name ":" value CRLF ) CRLF
 *   method  = 1*32( A-Z / 0-9 / "-" / "_" )
 *   target  = "/" … | "http://" authority [ "/" … ] | authority, for CONNECT | "*", for OPTIONS
 *
 * Input: bytes, and where the head begins. Output: the head with its length, `more`, or what is wrong with it. One pass, no
 * expression, no string but those that a policy looks at. Whatever two servers could read in two ways is wrong: it is never
 * passed on as a request that was understood.
 */
import { canonicalHost } from '../../../platform/pure/host.ts';
import {
  AUTHORITY,
  BAD,
  COLON,
  CR,
  decimal,
  endOfName,
  endOfValue,
  equals,
  KIND,
  LF,
  listMembers,
  METHOD,
  MORE,
  skipBlanks,
  SP,
  spells,
  TAB,
  TARGET,
  trimBlanks,
} from './syntax.ts';

export const MAX_HEAD_BYTES = 64 * 1024;
const MAX_FIELDS = 100;
const MAX_METHOD = 32;

/** `body` of a request without one, and of one in chunks; any other value is a length in bytes. */
export const NO_BODY = 0;
export const CHUNKED = -1;

export type RequestProblem =
  | 'method'
  | 'target'
  | 'version'
  | 'field name'
  | 'field value'
  | 'host'
  | 'no host'
  | 'two hosts'
  | 'target and host differ'
  | 'content length'
  | 'two content lengths'
  | 'transfer encoding'
  | 'two framings'
  | 'connection'
  | 'expectation'
  | 'body of a tunnel'
  | 'too many fields'
  | 'too large';

export interface RequestHead {
  /** Bytes of the head, with the empty line. */
  readonly length: number;
  readonly method: string;
  /** Path and query as they came; `*` for OPTIONS of the server as a whole, empty for CONNECT. */
  readonly target: string;
  /** As it came, without port; undefined where HTTP/1.0 names none. */
  readonly authority: string | undefined;
  /** Canonical form of `authority`. */
  readonly host: string | undefined;
  /** 0 where the authority names no port. */
  readonly port: number;
  readonly minor: 0 | 1;
  readonly body: number;
  readonly keepAlive: boolean;
  readonly expectsContinue: boolean;
  readonly upgrade: 'none' | 'websocket' | 'h2c' | 'other';
  /** A field asks the server to take another method for this one. */
  readonly methodOverridden: boolean;
  /** A field asks the server to take another path for this one. */
  readonly pathOverridden: boolean;
  readonly traceparent: string | undefined;
}

const COMMON_METHODS: readonly string[] = ['GET', 'POST', 'PUT', 'HEAD', 'DELETE', 'PATCH', 'OPTIONS'];

/** Names that a Connection field may not declare hop-by-hop: a server that obeyed would frame or route by other rules than we. */
const NEVER_HOP_BY_HOP: ReadonlySet<string> = new Set([
  'host',
  'content-length',
  'transfer-encoding',
  'expect',
  'trailer',
]);

const CONCERNS_UPGRADE: ReadonlySet<string> = new Set(['upgrade', 'http2-settings']);

/** `before`: an earlier head of this connection. Its strings are used again where the bytes are the same. */
export function parseRequestHead(
  bytes: Buffer,
  from: number,
  before: RequestHead | undefined,
): RequestHead | 'more' | RequestProblem {
  const limit = Math.min(bytes.length, from + MAX_HEAD_BYTES);
  const atLimit = limit - from === MAX_HEAD_BYTES ? 'too large' : 'more';

  // ── request line ───────────────────────────────────────────────────────────────────────────────────────────────

  let at = from;
  while (at < limit && ((KIND[bytes[at] ?? 0] ?? 0) & METHOD) !== 0) at += 1;
  if (at - from > MAX_METHOD) return 'method';
  if (at === limit) return atLimit;
  if (bytes[at] !== SP || at === from) return 'method';
  const method = textOfMethod(bytes, from, at);

  const targetStart = at + 1;
  at = targetStart;
  while (at < limit && ((KIND[bytes[at] ?? 0] ?? 0) & TARGET) !== 0) at += 1;
  if (at === limit) return atLimit;
  if (bytes[at] !== SP || at === targetStart) return 'target';
  const targetEnd = at;

  at += 1;
  if (limit - at < 10) return isPrefixOfVersion(bytes, at, limit) ? atLimit : 'version';
  const last = bytes[at + 7];
  if (!equals(bytes, at, 7, 'HTTP/1.') || (last !== 0x30 && last !== 0x31)) return 'version';
  if (bytes[at + 8] !== CR || bytes[at + 9] !== LF) return 'version';
  const minor = last === 0x31 ? 1 : 0;
  at += 10;

  // ── fields ─────────────────────────────────────────────────────────────────────────────────────────────────────

  let hostStart = -1;
  let hostEnd = -1;
  let contentLength = -1;
  let chunked = false;
  let close = false;
  let keep = false;
  let expectsContinue = false;
  let upgrade: RequestHead['upgrade'] = 'none';
  let methodOverridden = false;
  let pathOverridden = false;
  let traceparent: string | undefined;
  let fields = 0;

  for (;;) {
    if (at === limit) return atLimit;
    if (bytes[at] === CR) {
      if (at + 1 === limit) return atLimit;
      if (bytes[at + 1] !== LF) return 'field name';
      at += 2;
      break;
    }
    fields += 1;
    if (fields > MAX_FIELDS) return 'too many fields';
    const colon = endOfName(bytes, at, limit);
    if (colon < 0) return colon === MORE ? atLimit : 'field name';
    const valueEnd = endOfValue(bytes, colon + 1, limit);
    if (valueEnd < 0) return valueEnd === MORE ? atLimit : 'field value';

    switch (colon - at) {
      case 4:
        if (!spells(bytes, at, 'host')) break;
        if (hostStart >= 0) return 'two hosts';
        hostStart = startOfStrictValue(bytes, colon + 1, valueEnd);
        if (hostStart === BAD) return 'host';
        hostEnd = valueEnd;
        break;
      case 6:
        if (!spells(bytes, at, 'expect')) break;
        // of any other, servers differ in whether they still read the body
        if (expectsContinue || !isValue(bytes, colon + 1, valueEnd, '100-continue')) return 'expectation';
        expectsContinue = true;
        break;
      case 7: {
        if (!spells(bytes, at, 'upgrade')) break;
        const start = skipBlanks(bytes, colon + 1, valueEnd);
        const protocol = bytes.toString('latin1', start, trimBlanks(bytes, start, valueEnd)).toLowerCase();
        if (upgrade !== 'none') upgrade = 'other';
        else upgrade = protocol === 'websocket' || protocol === 'h2c' ? protocol : 'other';
        break;
      }
      case 10:
        if (!spells(bytes, at, 'connection')) break;
        // nearly always this, and no list to make
        if (isValue(bytes, colon + 1, valueEnd, 'keep-alive')) {
          keep = true;
          break;
        }
        for (const option of listMembers(bytes, colon + 1, valueEnd)) {
          if (option === 'close') close = true;
          else if (option === 'keep-alive') keep = true;
          else if (NEVER_HOP_BY_HOP.has(option.replaceAll('_', '-'))) return 'connection';
        }
        break;
      case 11:
        if (traceparent !== undefined || !spells(bytes, at, 'traceparent')) break;
        traceparent = bytes.toString('latin1', skipBlanks(bytes, colon + 1, valueEnd), valueEnd);
        break;
      case 13:
        if (spells(bytes, at, 'x-http-method')) methodOverridden ||= !isValue(bytes, colon + 1, valueEnd, method);
        else if (spells(bytes, at, 'x-rewrite-url')) pathOverridden = true;
        break;
      case 14:
        if (spells(bytes, at, 'content-length')) {
          if (contentLength >= 0) return 'two content lengths';
          const start = startOfStrictValue(bytes, colon + 1, valueEnd);
          contentLength = start === BAD || bytes[at + 7] !== 0x2d ? BAD : decimal(bytes, start, valueEnd);
          if (contentLength < 0) return 'content length';
        } else if (spells(bytes, at, 'x-original-url')) {
          pathOverridden = true;
        }
        break;
      case 17:
        if (spells(bytes, at, 'transfer-encoding')) {
          const start = startOfStrictValue(bytes, colon + 1, valueEnd);
          const isChunked =
            start !== BAD && bytes[at + 8] === 0x2d && equals(bytes, start, valueEnd - start, 'chunked');
          // before HTTP/1.1 there was no such thing: the server may take the chunks for requests
          if (!isChunked || chunked || minor === 0) return 'transfer encoding';
          chunked = true;
        } else if (spells(bytes, at, 'x-method-override')) {
          methodOverridden ||= !isValue(bytes, colon + 1, valueEnd, method);
        }
        break;
      case 22:
        if (spells(bytes, at, 'x-http-method-override'))
          methodOverridden ||= !isValue(bytes, colon + 1, valueEnd, method);
        break;
      default:
    }
    at = valueEnd + 2;
  }
  if (chunked && contentLength >= 0) return 'two framings';
  const body = chunked ? CHUNKED : Math.max(0, contentLength);

  // ── target and authority ───────────────────────────────────────────────────────────────────────────────────────

  let target: string;
  let authorityStart = hostStart;
  let authorityEnd = hostEnd;
  if (method === 'CONNECT') {
    target = '';
    authorityStart = targetStart;
    authorityEnd = targetEnd;
    if (body !== NO_BODY) return 'body of a tunnel';
  } else if (bytes[targetStart] === 0x2f) {
    target =
      before !== undefined && equals(bytes, targetStart, targetEnd - targetStart, before.target)
        ? before.target
        : bytes.toString('latin1', targetStart, targetEnd);
  } else if (bytes[targetStart] === 0x2a && targetEnd - targetStart === 1) {
    if (method !== 'OPTIONS') return 'target';
    target = '*';
  } else {
    if (targetEnd - targetStart < 8 || !spells(bytes, targetStart, 'http://')) return 'target';
    authorityStart = targetStart + 7;
    authorityEnd = authorityStart;
    while (authorityEnd < targetEnd && ((KIND[bytes[authorityEnd] ?? 0] ?? 0) & AUTHORITY) !== 0) authorityEnd += 1;
    const next = bytes[authorityEnd];
    if (authorityEnd < targetEnd && next !== 0x2f && next !== 0x3f) return 'target';
    target = `${next === 0x2f && authorityEnd < targetEnd ? '' : '/'}${bytes.toString('latin1', authorityEnd, targetEnd)}`;
  }
  if (hostStart < 0 && minor === 1) return 'no host';
  // byte by byte: servers differ in which of the two they believe
  if (hostStart >= 0 && authorityStart !== hostStart) {
    const length = authorityEnd - authorityStart;
    if (length !== hostEnd - hostStart) return 'target and host differ';
    for (let index = 0; index < length; index += 1) {
      if (lower(bytes[authorityStart + index]) !== lower(bytes[hostStart + index])) return 'target and host differ';
    }
  }

  let authority: string | undefined;
  let host: string | undefined;
  let port = 0;
  if (authorityStart >= 0) {
    const nameEnd = endOfHostName(bytes, authorityStart, authorityEnd);
    if (nameEnd < 0) return 'host';
    if (nameEnd < authorityEnd) {
      port = decimal(bytes, nameEnd + 1, authorityEnd);
      if (port < 1 || port > 65535) return 'host';
    } else if (method === 'CONNECT') {
      return 'target';
    }
    if (before?.authority !== undefined && equals(bytes, authorityStart, nameEnd - authorityStart, before.authority)) {
      ({ authority, host } = before);
    } else {
      const text = bytes.toString('latin1', authorityStart, nameEnd);
      authority = text;
      host = canonicalHost(text);
    }
    if (host === undefined) return 'host';
  }

  if (upgrade !== 'none' && upgrade !== 'h2c') {
    if (body !== NO_BODY) return 'body of a tunnel';
    if (method !== 'GET' || minor === 0) upgrade = 'other';
  }
  return {
    length: at - from,
    method,
    target,
    authority,
    host,
    port,
    minor,
    body,
    keepAlive: !close && (minor === 1 || keep),
    expectsContinue: expectsContinue && minor === 1,
    upgrade,
    methodOverridden,
    pathOverridden,
    traceparent,
  };
}

/**
 * The head without its wish to go on in cleartext HTTP/2: intermediaries drop what concerns one hop (RFC 9110 §7.6.1), the
 * server answers in HTTP/1.1, and nothing leaves that was not judged. Some clients wish so on every first request.
 */
export function withoutUpgrade(head: Buffer): Buffer {
  const lines: string[] = [];
  for (const line of head.toString('latin1', 0, head.length - 4).split('\r\n')) {
    const colon = line.indexOf(':');
    const name = line.slice(0, colon).toLowerCase().replaceAll('_', '-');
    if (lines.length > 0 && CONCERNS_UPGRADE.has(name)) continue;
    if (lines.length === 0 || name !== 'connection') {
      lines.push(line);
      continue;
    }
    const kept = line
      .slice(colon + 1)
      .split(',')
      .filter((option) => !CONCERNS_UPGRADE.has(option.trim().toLowerCase()));
    if (kept.length > 0) lines.push(`${line.slice(0, colon)}:${kept.join(',')}`);
  }
  return Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1');
}

/** Fewer than the ten bytes that end a request line: may they become them? */
function isPrefixOfVersion(bytes: Buffer, at: number, limit: number): boolean {
  for (let index = at; index < limit; index += 1) {
    const byte = bytes[index];
    const place = index - at;
    const proper =
      place === 7 ? byte === 0x30 || byte === 0x31 : byte === (place === 8 ? CR : 'HTTP/1.'.charCodeAt(place));
    if (!proper) return false;
  }
  return true;
}

function textOfMethod(bytes: Buffer, start: number, end: number): string {
  for (const method of COMMON_METHODS) {
    if (equals(bytes, start, end - start, method)) return method;
  }
  return bytes.toString('latin1', start, end);
}

/** For values that frame or route: spaces may stand before them and nothing after; else `BAD`. */
function startOfStrictValue(bytes: Buffer, at: number, end: number): number {
  let index = at;
  while (index < end && bytes[index] === SP) index += 1;
  const last = bytes[end - 1];
  return index === end || bytes[index] === TAB || last === SP || last === TAB ? BAD : index;
}

function isValue(bytes: Buffer, at: number, end: number, text: string): boolean {
  const start = skipBlanks(bytes, at, end);
  return equals(bytes, start, trimBlanks(bytes, start, end) - start, text);
}

/** Where the name of `name[:port]` ends; `BAD` if it is neither. */
function endOfHostName(bytes: Buffer, start: number, end: number): number {
  let colon = -1;
  let bracket = -1;
  for (let index = start; index < end; index += 1) {
    const byte = bytes[index] ?? 0;
    if (((KIND[byte] ?? 0) & AUTHORITY) === 0) return BAD;
    if (byte === 0x5d) {
      if (bracket >= 0 || bytes[start] !== 0x5b) return BAD;
      bracket = index;
    } else if (byte === 0x5b && index > start) {
      return BAD;
    } else if (byte === COLON && (bracket >= 0 || bytes[start] !== 0x5b)) {
      if (colon >= 0) return BAD;
      colon = index;
    }
  }
  if (bytes[start] === 0x5b && bracket < 0) return BAD;
  if (bracket >= 0 && bracket + 1 !== (colon >= 0 ? colon : end)) return BAD;
  const nameEnd = colon >= 0 ? colon : end;
  return nameEnd === start ? BAD : nameEnd;
}

function lower(byte: number | undefined): number {
  const code = byte ?? 0;
  return code >= 0x41 && code <= 0x5a ? code | 0x20 : code;
}
