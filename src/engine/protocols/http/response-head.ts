/**
 * The head of one HTTP/1 response, read for its framing alone (RFC 9112 §6.3): where does this answer end, so that an answer
 * of our own can follow it? What cannot be told for certain is `malformed`: the connection ends there.
 */
import { CHUNKED, MAX_HEAD_BYTES } from './request-head.ts';
import {
  CR,
  decimal,
  DIGIT,
  endOfName,
  endOfValue,
  equals,
  KIND,
  LF,
  listMembers,
  MORE,
  skipBlanks,
  SP,
  spells,
  trimBlanks,
} from './syntax.ts';

/** `body` of a response that ends when the server closes; else a length, or `CHUNKED`. */
export const UNTIL_CLOSE = -2;
const VERSION = 'HTTP/1.';

export interface ResponseHead {
  readonly length: number;
  readonly status: number;
  /** As for any method but HEAD and CONNECT; 0 for a status that has none. */
  readonly body: number;
}

export function parseResponseHead(bytes: Buffer, from: number): ResponseHead | 'more' | 'malformed' {
  const limit = Math.min(bytes.length, from + MAX_HEAD_BYTES);
  const atLimit = limit - from === MAX_HEAD_BYTES ? 'malformed' : 'more';
  if (limit - from < 13)
    return equals(bytes, from, Math.min(7, limit - from), VERSION.slice(0, limit - from)) ? 'more' : 'malformed';
  const minor = bytes[from + 7];
  if (!equals(bytes, from, 7, VERSION) || (minor !== 0x30 && minor !== 0x31) || bytes[from + 8] !== SP)
    return 'malformed';
  let status = 0;
  for (let index = from + 9; index < from + 12; index += 1) {
    const byte = bytes[index] ?? 0;
    if (((KIND[byte] ?? 0) & DIGIT) === 0) return 'malformed';
    status = status * 10 + byte - 0x30;
  }
  // some servers leave out the reason, some its space as well
  const afterStatus = bytes[from + 12];
  if (status < 100 || (afterStatus !== CR && afterStatus !== SP)) return 'malformed';
  const lineEnd = endOfValue(bytes, from + 12, limit);
  if (lineEnd < 0) return lineEnd === MORE ? atLimit : 'malformed';

  let at = lineEnd + 2;
  let contentLength = -1;
  let encoded = false;
  let chunked = false;
  for (;;) {
    if (at === limit) return atLimit;
    if (bytes[at] === CR) {
      if (at + 1 === limit) return atLimit;
      if (bytes[at + 1] !== LF) return 'malformed';
      at += 2;
      break;
    }
    const colon = endOfName(bytes, at, limit);
    if (colon < 0) return colon === MORE ? atLimit : 'malformed';
    const valueEnd = endOfValue(bytes, colon + 1, limit);
    if (valueEnd < 0) return valueEnd === MORE ? atLimit : 'malformed';
    if (colon - at === 14 && spells(bytes, at, 'content-length')) {
      const start = skipBlanks(bytes, colon + 1, valueEnd);
      const length = decimal(bytes, start, trimBlanks(bytes, start, valueEnd));
      // the same number twice is one number to everybody
      if (length < 0 || (contentLength >= 0 && contentLength !== length)) return 'malformed';
      contentLength = length;
    } else if (colon - at === 17 && spells(bytes, at, 'transfer-encoding')) {
      encoded = true;
      // of several codings the last frames the message, and chunked can only stand there
      const codings = listMembers(bytes, colon + 1, valueEnd);
      if (chunked || codings.indexOf('chunked') < codings.lastIndexOf('chunked')) return 'malformed';
      chunked = codings.at(-1) === 'chunked';
      if (!chunked && codings.includes('chunked')) return 'malformed';
    }
    at = valueEnd + 2;
  }
  if (encoded && (contentLength >= 0 || minor === 0x30)) return 'malformed';
  const length = at - from;
  if (status < 200 || status === 204 || status === 304) return { length, status, body: 0 };
  if (encoded) return { length, status, body: chunked ? CHUNKED : UNTIL_CLOSE };
  return { length, status, body: contentLength >= 0 ? contentLength : UNTIL_CLOSE };
}
