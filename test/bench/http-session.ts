/**
 * What one judged HTTP/1 request costs in the session alone: parsed, judged by a stand-in, forwarded, its response framed.
 * No sockets, no policy. Prints nanoseconds a request; `node test/bench/http-session.ts`.
 */
import type { Permit } from '../../src/model/verdict.ts';
import { parseAddress, type Address } from '../../src/platform/pure/address.ts';
import type { Act, Answer, SessionIo } from '../../src/engine/protocols/codec.ts';
import { HTTP1 } from '../../src/engine/protocols/http/session.ts';

const ROUNDS = 7;
const REQUESTS_PER_ROUND = 200_000;

export interface SessionMeasurement {
  readonly name: string;
  readonly ns: number;
}

const BODY = 'x'.repeat(1024);
const RESPONSE = Buffer.from(
  'HTTP/1.1 200 OK\r\nServer: nginx/1.26.3\r\nDate: Sat, 21 Nov 2026 05:24:09 GMT\r\nContent-Type: text/plain\r\n' +
    `Content-Length: ${BODY.length}\r\nLast-Modified: Sat, 21 Nov 2026 05:00:00 GMT\r\nConnection: keep-alive\r\n` +
    `ETag: "65646d10-400"\r\nAccept-Ranges: bytes\r\n\r\n${BODY}`,
);

function request(path: string): Buffer {
  return Buffer.from(
    `GET ${path} HTTP/1.1\r\nHost: origin.test\r\nUser-Agent: bench/1.0\r\nAccept: */*\r\nConnection: keep-alive\r\n\r\n`,
  );
}

/** Median of several rounds each, after one to warm up. */
export function measureHttpSession(): readonly SessionMeasurement[] {
  const various = Array.from({ length: 512 }, (_, index) => request(`/items/${index}?page=${index % 7}`));
  const alike = [request('/1k')];
  const pipelined = [Buffer.concat(Array.from({ length: 16 }, () => request('/1k')))];
  return [
    { name: 'the same request again and again', ns: measure(alike, 1) },
    { name: 'another path each time', ns: measure(various, 1) },
    { name: '16 requests in one piece', ns: measure(pipelined, 16) },
  ];
}

function measure(chunks: readonly Buffer[], requestsPerChunk: number): number {
  // copies, as a socket would hand out new memory each time
  const responses =
    requestsPerChunk === 1 ? RESPONSE : Buffer.concat(Array.from({ length: requestsPerChunk }, () => RESPONSE));
  const session = HTTP1.open(allowAll(), { original: { address: address(), port: 80 } });
  const times: number[] = [];
  for (let round = 0; round <= ROUNDS; round += 1) {
    const count = Math.floor(REQUESTS_PER_ROUND / requestsPerChunk);
    const start = process.hrtime.bigint();
    for (let index = 0; index < count; index += 1) {
      session.fromDownstream(chunks[index % chunks.length] ?? RESPONSE);
      session.fromUpstream(responses);
    }
    if (round > 0) times.push(Number(process.hrtime.bigint() - start) / (count * requestsPerChunk));
  }
  if (bytesSent === 0) throw new Error('nothing was forwarded');
  times.sort((a, b) => a - b);
  return times[Math.floor(times.length / 2)] ?? Number.NaN;
}

let bytesSent = 0;

function allowAll(): SessionIo {
  // a stand-in permit: nothing here leaves the process
  const permit = {} as Permit;
  const destination = { address: address(), port: 80, requestedName: 'origin.test', names: ['origin.test'] };
  const answerTo = (act: Act): Answer => ({
    effect: 'allow',
    permit,
    access: { class: act.class, tags: act.tags, operation: act.operation, destination, doubt: act.doubt },
  });
  const unexpected = (): never => {
    throw new Error('the session left the fast path');
  };
  return {
    judge: answerTo,
    toUpstream: (_permit, bytes) => {
      bytesSent += bytes.length;
    },
    toDownstream: (bytes) => {
      bytesSent += bytes.length;
    },
    endUpstream: unexpected,
    close: unexpected,
    reset: unexpected,
    splice: unexpected,
    pauseDownstream: unexpected,
    resumeDownstream: unexpected,
  };
}

function address(): Address {
  const parsed = parseAddress('198.18.0.1');
  if (parsed === undefined) throw new Error('198.18.0.1 is no address');
  return parsed;
}

if (import.meta.main) {
  for (const { name, ns } of measureHttpSession()) console.log(`${name.padEnd(40)} ${ns.toFixed(0).padStart(6)} ns`);
}
