/**
 * What a client reads instead of the answer: problem details (RFC 9457) with the decision's id and the remedy, in a response
 * that leaves the connection usable wherever the next request can still be found on it.
 */
import { printableJson } from '../../../platform/pure/printable.ts';
import type { Answer } from '../codec.ts';

const PHRASES = {
  400: 'Bad Request',
  403: 'Forbidden',
  421: 'Misdirected Request',
  431: 'Request Header Fields Too Large',
} as const;

export type DenialStatus = keyof typeof PHRASES;

export interface DenialShape {
  readonly status: DenialStatus;
  readonly close: boolean;
  /** HTTP/1.0 clients keep a connection only if they are told so. */
  readonly sayKeepAlive: boolean;
  readonly omitBody: boolean;
  /** What is wrong with the bytes, where they could not be read. */
  readonly detail: string | undefined;
}

export function denialResponse(denied: Extract<Answer, { effect: 'deny' }>, shape: DenialShape): Buffer {
  const { status } = shape;
  const body = `${printableJson({
    type: `urn:sallyport:reason:${denied.reason}`,
    title: 'Denied by egress policy',
    status,
    ...(shape.detail !== undefined && { detail: `The request could not be read: ${shape.detail}` }),
    id: denied.id,
    reason: denied.reason,
    remedy: denied.remedy,
  })}\n`;
  const connection = shape.close ? 'Connection: close\r\n' : shape.sayKeepAlive ? 'Connection: keep-alive\r\n' : '';
  const head =
    `HTTP/1.1 ${status} ${PHRASES[status]}\r\nContent-Type: application/problem+json\r\n` +
    `Content-Length: ${Buffer.byteLength(body)}\r\nCache-Control: no-store\r\nSallyport-Decision: ${denied.id}\r\n${connection}\r\n`;
  return Buffer.from(shape.omitBody ? head : head + body);
}
