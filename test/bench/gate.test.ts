import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { passGate } from './gate.ts';
import { BODY } from './origin.ts';

const directory = mkdtempSync(join(tmpdir(), 'sallyport-gate-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

interface Behaviour {
  /** Whether the proxy judges a request as it should. */
  readonly judges?: boolean;
  readonly sendsOnWhatItDenies?: boolean;
  readonly records?: boolean;
  readonly body?: string;
}

/** A proxy that answers as told, in front of an origin that logs what reaches it. */
async function gateOf(behaviour: Behaviour, withProxy = true): Promise<string[]> {
  const { judges = true, sendsOnWhatItDenies = false, records = true, body = BODY } = behaviour;
  const recordFile = join(directory, 'records.log');
  writeFileSync(recordFile, '');
  const arrived: string[] = [];
  let written = '';
  const answer = (request: string): { status: number; body: string } => {
    const allowed = request.startsWith('GET /1k ') && request.includes('Host: origin.test');
    const denied = withProxy && judges && !allowed;
    if (!allowed && (!denied || sendsOnWhatItDenies)) arrived.push(`nonce ${request.split('\r\n')[0] ?? ''}`);
    if (denied && records) written += 'denied\n';
    return denied ? { status: 403, body: 'no' } : { status: 200, body };
  };
  const run = (argv: readonly string[]): Promise<string> => {
    const lists = JSON.parse(argv.at(-1) ?? '') as string[][];
    const answers = lists.map((list) => list.map(answer));
    writeFileSync(recordFile, written);
    return Promise.resolve(JSON.stringify(answers));
  };
  const close = (): Promise<void> => Promise.resolve();
  const shell = { run, close };
  const peer = { version: '', shell, pids: () => [], recordFile: withProxy ? recordFile : undefined, close };
  return passGate(peer, { foreign: () => arrived, close }, 'nonce', 100);
}

describe('the gate', () => {
  it('lets a proxy pass that judges right and records it', async () => expect(await gateOf({})).toEqual([]));
  it('stops one that lets all pass', async () => {
    const problems = await gateOf({ judges: false });
    expect(problems).toContain('arrived at the origin: nonce GET /secret HTTP/1.1');
    expect(problems).toContain('a wrong method: answered with 200, not 403');
    expect(problems).toContain('a wrong path, second on its connection: answered with 200, not 403');
  });
  it('stops one that denies and sends on all the same', async () => {
    expect(await gateOf({ sendsOnWhatItDenies: true })).toContain('arrived at the origin: nonce POST /1k HTTP/1.1');
  });
  it('stops one that does not record its denials', async () => {
    expect(await gateOf({ records: false })).toEqual(['0 records of 4 denials']);
  });
  it('stops one that answers with something else', async () => {
    expect(await gateOf({ body: 'x' })).toContain('the allowed request: answered with another body');
  });
  it('without a proxy wants to see every request at the origin', async () => {
    expect(await gateOf({}, false)).toEqual([]);
  });
});
