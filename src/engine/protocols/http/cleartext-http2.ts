/**
 * HTTP/2 without TLS, begun with its preface (RFC 9113 §3.4). This version does not take it apart: it is judged as the flow
 * that it is, and refused in its own words, so that clients who can fall back to HTTP/1.1.
 */
import type { Codec, Detection, Session, SessionIo } from '../codec.ts';
import { openJudgedOnce } from '../judged-once.ts';
import { wholeFlow } from './act.ts';

const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
/** An empty SETTINGS frame; GOAWAY, last stream 0, HTTP_1_1_REQUIRED. */
const REFUSAL = Buffer.from('000000040000000000' + '000008070000000000' + '00000000' + '0000000d', 'hex');

export const CLEARTEXT_HTTP2: Codec = { name: 'http2', detect, open };

function detect(bytes: Buffer): Detection {
  const length = Math.min(bytes.length, PREFACE.length);
  if (bytes.compare(PREFACE, 0, length, 0, length) !== 0) return 'no';
  return length === PREFACE.length ? 'yes' : 'more';
}

function open(io: SessionIo): Session {
  const act = wholeFlow('http2', {});
  return openJudgedOnce(io, () => act, refuse);
}

function refuse(io: SessionIo): void {
  io.toDownstream(REFUSAL);
  io.close();
}
