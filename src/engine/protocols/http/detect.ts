/**
 * Do these bytes begin an HTTP/1 request? Generous where the parser is strict: what some server might still take for a request
 * must not pass for plain TCP, where no rule for HTTP is asked. So blank lines before it, lower case and tabs count as well.
 */
import type { Detection } from '../codec.ts';
import { AUTHORITY, KIND, LF, SP, spells, TAB, TOKEN } from './syntax.ts';

const METHODS: ReadonlySet<string> = new Set([
  'GET',
  'HEAD',
  'POST',
  'PUT',
  'DELETE',
  'CONNECT',
  'OPTIONS',
  'TRACE',
  'PATCH',
]);
const LONGEST_METHOD = 32;
const MAX_BLANKS = 16;
/** A line longer than this that began like a request is left to the parser to refuse. */
const MAX_LINE = 8192;

export function detectRequest(bytes: Buffer): Detection {
  let start = 0;
  while (start < bytes.length && start < MAX_BLANKS && isBlank(bytes[start])) start += 1;
  let at = start;
  while (at < bytes.length && ((KIND[bytes[at] ?? 0] ?? 0) & TOKEN) !== 0) at += 1;
  if (at - start > LONGEST_METHOD) return 'no';
  if (at === bytes.length) return 'more';
  const separator = bytes[at];
  if (at === start || (separator !== SP && separator !== TAB)) return 'no';
  const method = bytes.toString('latin1', start, at);
  while (at < bytes.length && (bytes[at] === SP || bytes[at] === TAB)) at += 1;
  if (at === bytes.length) return at > MAX_LINE ? 'no' : 'more';
  const isKnown = METHODS.has(method.toUpperCase());
  const beginsTarget = isTargetStart(bytes, at, method === 'CONNECT');
  if (METHODS.has(method) && beginsTarget) return 'yes';

  // not a request as everybody writes it; one all the same if the line names the protocol
  if (!isKnown && !beginsTarget) return 'no';
  for (let index = at; index < bytes.length && index < MAX_LINE; index += 1) {
    if (bytes[index] === LF) return 'no';
    if (index + 5 <= bytes.length && spells(bytes, index, 'http/')) return 'yes';
  }
  return bytes.length >= MAX_LINE ? 'yes' : 'more';
}

/** `/`, `*`, `http…`, and for CONNECT a host. */
function isTargetStart(bytes: Buffer, at: number, isConnect: boolean): boolean {
  const first = bytes[at] ?? 0;
  if (isConnect) return ((KIND[first] ?? 0) & AUTHORITY) !== 0;
  return first === 0x2f || first === 0x2a || spells(bytes, at, 'http'.slice(0, bytes.length - at));
}

function isBlank(byte: number | undefined): boolean {
  return byte === SP || byte === TAB || byte === LF || byte === 0x0d;
}
