/**
 * The gate before a peer is measured: what must pass passes, with the right body; what must not never arrives at the
 * origin; each denial shows in the peer's records. A peer that fails is not measured.
 */
import { existsSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Response } from './clients/http-head.ts';
import { ORIGIN_ADDRESS, ORIGIN_NAME } from './network.ts';
import { BODY, type Origin } from './origin.ts';
import type { OpenPeer } from './peers/peer.ts';

const script = fileURLToPath(new URL('clients/exchange.ts', import.meta.url));
/** For a request that a proxy sends on late, after it has answered. */
const SETTLE_MS = 200;

interface Step {
  readonly what: string;
  readonly requests: readonly Request[];
}

interface Request {
  readonly method: 'GET' | 'POST';
  readonly host: string;
  readonly path: string;
  readonly allowed: boolean;
}

const allowed: Request = { method: 'GET', host: ORIGIN_NAME, path: '/1k', allowed: true };
const wrongPath: Request = { ...allowed, path: '/secret', allowed: false };

const STEPS: readonly Step[] = [
  { what: 'the allowed request', requests: [allowed, allowed] },
  { what: 'a wrong method', requests: [{ ...allowed, method: 'POST', allowed: false }] },
  { what: 'a wrong host', requests: [{ ...allowed, host: 'other.test', allowed: false }] },
  { what: 'a wrong path', requests: [wrongPath] },
  { what: 'a wrong path, second on its connection', requests: [allowed, wrongPath] },
];
const DENIALS = STEPS.flatMap((step) => step.requests).filter((request) => !request.allowed).length;

/** The problems; none, if it may be measured. */
export async function passGate(
  peer: OpenPeer,
  origin: Origin,
  nonce: string,
  recordPatienceMs = 3000,
): Promise<string[]> {
  const recordsBefore = countRecords(peer.recordFile);
  const raw = STEPS.map((step) => step.requests.map((request) => render(request, nonce)));
  const output = await peer.shell.run([process.execPath, script, ORIGIN_ADDRESS, JSON.stringify(raw)]);
  const answers = JSON.parse(output) as Response[][];
  await sleep(SETTLE_MS);
  const arrived = origin.foreign().filter((line) => line.startsWith(`${nonce} `));
  if (peer.recordFile === undefined) return checkDirect(arrived);

  const problems = arrived.map((line) => `arrived at the origin: ${line}`);
  for (const [index, step] of STEPS.entries()) {
    for (const [at, request] of step.requests.entries()) {
      const problem = checkAnswer(request, answers[index]?.[at]);
      if (problem !== undefined) problems.push(`${step.what}: ${problem}`);
    }
  }
  if (problems.length > 0) return problems;
  const deadline = Date.now() + recordPatienceMs;
  while (countRecords(peer.recordFile) - recordsBefore < DENIALS && Date.now() < deadline) await sleep(50);
  const recorded = countRecords(peer.recordFile) - recordsBefore;
  return recorded < DENIALS ? [`${String(recorded)} records of ${String(DENIALS)} denials`] : [];
}

/** Without a proxy all must arrive: an origin whose log stays empty would prove nothing about the others. */
function checkDirect(arrived: readonly string[]): string[] {
  if (arrived.length === DENIALS) return [];
  return [`the origin's log shows ${String(arrived.length)} of ${String(DENIALS)} requests that it must show`];
}

function checkAnswer(request: Request, answer: Response | undefined): string | undefined {
  if (answer === undefined) return 'no answer';
  if (!request.allowed) return answer.status === 403 ? undefined : `answered with ${String(answer.status)}, not 403`;
  if (answer.status !== 200) return `answered with ${String(answer.status)}, not 200: ${answer.body.slice(0, 300)}`;
  return answer.body === BODY ? undefined : 'answered with another body';
}

function render(request: Request, nonce: string): string {
  const length = request.method === 'POST' ? 'Content-Length: 0\r\n' : '';
  return `${request.method} ${request.path} HTTP/1.1\r\nHost: ${request.host}\r\nX-Gate: ${nonce}\r\n${length}\r\n`;
}

/** The records that a peer has written: a line each. */
export function countRecords(file: string | undefined): number {
  if (file === undefined || !existsSync(file)) return 0;
  return readFileSync(file, 'latin1').split('\n').length - 1;
}
