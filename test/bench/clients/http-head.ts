/** Reads one response with a Content-Length, as every proxy here and the origin answer; anything else is an error. */
export interface Response {
  readonly status: number;
  readonly body: string;
  /** Bytes of the response in the input. */
  readonly length: number;
}

/** `undefined`: more bytes are needed. A response that is ended by the connection's end needs `ended`. */
export function readResponse(text: string, ended: boolean): Response | undefined {
  const headEnd = text.indexOf('\r\n\r\n');
  if (headEnd < 0) return undefined;
  const head = text.slice(0, headEnd);
  const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(head)?.[1]);
  if (Number.isNaN(status)) throw new Error(`no HTTP response: ${head.slice(0, 80)}`);
  const bodyStart = headEnd + 4;
  const declared = /^content-length: *(\d+) *$/im.exec(head)?.[1];
  if (declared === undefined) {
    return ended ? { status, body: text.slice(bodyStart), length: text.length } : undefined;
  }
  const length = bodyStart + Number(declared);
  return text.length < length ? undefined : { status, body: text.slice(bodyStart, length), length };
}
