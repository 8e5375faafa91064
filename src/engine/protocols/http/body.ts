/**
 * Where a body ends (RFC 9112 §6, §7.1), told piece by piece without copying.
 *
 *   chunked = *( size [ ";" extension ] CRLF data CRLF ) "0" [ ";" extension ] CRLF *( name ":" value CRLF ) CRLF
 *   size    = 1*16HEXDIG, no blank before or after it
 *
 * Strict as the heads are: no lone CR or LF, no control character in an extension, no trailer field that would have framed
 * or routed the message had it stood in the head.
 */
import { CHUNKED } from './request-head.ts';
import { UNTIL_CLOSE } from './response-head.ts';
import { COLON, CR, KIND, LF, TOKEN, VALUE } from './syntax.ts';

/** The place within a body. One object a connection and direction, used again for each body. */
export interface Body {
  state: State;
  /** Bytes of data still to come, of the body or of this chunk. */
  remaining: number;
  /** Digits of this chunk's size so far. */
  digits: number;
  /** Bytes of extensions or trailers so far. */
  overhead: number;
  trailerName: string;
}

type State =
  | 'done'
  | 'malformed'
  | 'length'
  | 'until-close'
  | 'size'
  | 'extension'
  | 'size-lf'
  | 'data'
  | 'data-cr'
  | 'data-lf'
  | 'trailer-start'
  | 'trailer-name'
  | 'trailer-value'
  | 'trailer-lf'
  | 'last-lf';

const MAX_SIZE_DIGITS = 16;
/** All extensions and trailers of one body together. */
const MAX_OVERHEAD = 16 * 1024;

const NEVER_IN_TRAILERS: ReadonlySet<string> = new Set([
  'host',
  'content-length',
  'transfer-encoding',
  'connection',
  'upgrade',
  'expect',
  'te',
  'trailer',
  'x-http-method',
  'x-http-method-override',
  'x-method-override',
  'x-original-url',
  'x-rewrite-url',
]);

export function createBody(): Body {
  return { state: 'done', remaining: 0, digits: 0, overhead: 0, trailerName: '' };
}

/** `framing`: `CHUNKED`, `UNTIL_CLOSE`, or a length in bytes. */
export function beginBody(body: Body, framing: number): void {
  body.remaining = 0;
  body.overhead = 0;
  switch (framing) {
    case 0:
      body.state = 'done';
      break;
    case CHUNKED:
      body.state = 'size';
      body.digits = 0;
      break;
    case UNTIL_CLOSE:
      body.state = 'until-close';
      break;
    default:
      body.state = 'length';
      body.remaining = framing;
  }
}

/**
 * The index after the last byte of `bytes` from `from` on that belongs to the body. Afterwards `body.state` is `done` if the
 * body ends there, `malformed` if the byte at that index can belong to no body; anything else: `bytes` is used up.
 */
export function takeBody(body: Body, bytes: Buffer, from: number): number {
  let at = from;
  while (at < bytes.length) {
    switch (body.state) {
      case 'done':
      case 'malformed':
        return at;
      case 'until-close':
        return bytes.length;
      case 'length':
      case 'data': {
        const taken = Math.min(body.remaining, bytes.length - at);
        at += taken;
        body.remaining -= taken;
        if (body.remaining === 0) body.state = body.state === 'data' ? 'data-cr' : 'done';
        break;
      }
      default:
        if (!stepChunked(body, bytes[at] ?? 0)) return at;
        at += 1;
    }
  }
  return at;
}

/** One byte of a chunked body that is no data; whether it may stand there. */
function stepChunked(body: Body, byte: number): boolean {
  body.state = nextState(body, byte);
  return body.state !== 'malformed';
}

function nextState(body: Body, byte: number): State {
  const kind = KIND[byte] ?? 0;
  switch (body.state) {
    case 'size': {
      const digit = hexDigit(byte);
      if (digit >= 0) {
        body.digits += 1;
        body.remaining = body.remaining * 16 + digit;
        return body.digits > MAX_SIZE_DIGITS || body.remaining > Number.MAX_SAFE_INTEGER ? 'malformed' : 'size';
      }
      if (body.digits === 0) return 'malformed';
      if (byte === CR) return 'size-lf';
      return byte === 0x3b ? 'extension' : 'malformed';
    }
    case 'extension':
      return byte === CR ? 'size-lf' : (kind & VALUE) !== 0 && hasRoom(body) ? 'extension' : 'malformed';
    case 'size-lf':
      if (byte !== LF) return 'malformed';
      return body.remaining === 0 ? 'trailer-start' : 'data';
    case 'data-cr':
      return byte === CR ? 'data-lf' : 'malformed';
    case 'data-lf':
      body.digits = 0;
      return byte === LF ? 'size' : 'malformed';
    case 'trailer-start':
    case 'trailer-name':
      if (body.state === 'trailer-start') {
        body.trailerName = '';
        if (byte === CR) return 'last-lf';
      }
      if ((kind & TOKEN) !== 0) {
        body.trailerName += byte === 0x5f ? '-' : String.fromCharCode(byte).toLowerCase();
        return hasRoom(body) ? 'trailer-name' : 'malformed';
      }
      return byte === COLON && body.trailerName !== '' && !NEVER_IN_TRAILERS.has(body.trailerName)
        ? 'trailer-value'
        : 'malformed';
    case 'trailer-value':
      return byte === CR ? 'trailer-lf' : (kind & VALUE) !== 0 && hasRoom(body) ? 'trailer-value' : 'malformed';
    case 'trailer-lf':
      return byte === LF ? 'trailer-start' : 'malformed';
    case 'last-lf':
      return byte === LF ? 'done' : 'malformed';
    case 'done':
    case 'malformed':
    case 'length':
    case 'until-close':
    case 'data':
      return body.state;
  }
}

/** Counts one byte of extensions or trailers. */
function hasRoom(body: Body): boolean {
  body.overhead += 1;
  return body.overhead <= MAX_OVERHEAD;
}

function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const letter = byte | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1;
}
