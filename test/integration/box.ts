/**
 * `sallyport run` in the host of the tests' network, with a shell as its command: one box for many tests, which send the
 * shell one script at a time. As root, or as an ordinary user with nothing but a user id.
 */
import { chmodSync, chownSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import type { VerdictRecord } from '../../src/report/record.ts';
import { findProgram, SYSTEM_PATH } from './machine.ts';
import { readLines, REPOSITORY, type Network } from './network.ts';
import { run, start, until, type Outcome, type Running } from './processes.ts';

export const USERS = ['root', 'user'] as const;
export type User = (typeof USERS)[number];
/** Nobody's: no entry in any user database. */
export const USER_ID = 61234;

export const PROGRAM = [process.execPath, join(REPOSITORY, 'cmd/sallyport.ts')];

export interface BoxOptions {
  readonly user: User;
  /** YAML of the rules: a document's `spec` less podSelector; or whole documents. Without: no policy. */
  readonly policy?: string;
  readonly args?: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
}

export interface Result {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Box {
  readonly running: Running;
  /** Files that tests and box share. */
  readonly folder: string;
  /** Runs a shell script in the box. Past `timeoutMs` (20 s) it fails, and the box with it. */
  readonly run: (script: string, timeoutMs?: number) => Promise<Result>;
  /** Runs a Python program in the box, with PRELUDE before it; fails unless it ends well. Gives what it printed. */
  readonly python: (program: string, ...args: readonly string[]) => Promise<string>;
  /** Those since the last `forget`. */
  readonly records: () => readonly VerdictRecord[];
  /** What was recorded so far is another test's. */
  readonly forget: () => Promise<void>;
  /** The first record that has all of `part`; records are written a little later than the access. */
  readonly record: (part: RecordPart) => Promise<VerdictRecord>;
  readonly close: () => Promise<void>;
}

export type RecordPart = Partial<Omit<VerdictRecord, 'destination' | 'operation' | 'tags'>> & {
  readonly destination?: Partial<VerdictRecord['destination']>;
  readonly operation?: Partial<VerdictRecord['operation']>;
  readonly tags?: VerdictRecord['tags'];
};

/** What most probes need: short names for what a system call said. */
const PRELUDE = `
import ctypes, errno, fcntl, json, os, select, signal, socket, struct, sys, time
libc = ctypes.CDLL(None, use_errno=True)
def attempt(act):
    """'ok' and the result, or the name of the error."""
    try:
        result = act()
        return 'ok' if result is None else 'ok ' + str(result)
    except OSError as error:
        return errno.errorcode.get(error.errno, type(error).__name__)
def syscall(number, *args):
    """'ok' and the result, or the name of the error."""
    result = libc.syscall(number, *args)
    return 'ok ' + str(result) if result >= 0 else errno.errorcode[ctypes.get_errno()]
def dial(address, port, send=b'', timeout=4):
    """Connects, sends, reads once: what came, or the name of the error."""
    def act():
        with socket.create_connection((address, port), timeout=timeout) as s:
            if send: s.sendall(send)
            return s.recv(65536)
    return attempt(act)
def datagram(address, port, send, timeout=1):
    def act():
        with socket.socket(socket.AF_INET6 if ':' in address else socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(timeout)
            s.connect((address, port))
            s.send(send)
            return s.recv(65536)
    return attempt(act)
`;

/** Records are written in batches, at the latest after 50 ms. */
const RECORDED_WITHIN_MS = 80;

let boxes = 0;

/** Argv that starts `argv` in the host as that user, in that folder, with these settings alone. */
export function asUser(
  network: Network,
  user: User,
  folder: string,
  env: NodeJS.ProcessEnv,
  argv: readonly string[],
): string[] {
  const identity =
    user === 'root' ? [] : ['setpriv', `--reuid=${USER_ID}`, `--regid=${USER_ID}`, '--clear-groups', '--inh-caps=-all'];
  const settings = Object.entries(env).map(([name, value]) => `${name}=${value ?? ''}`);
  return [...network.host.enter, ...identity, 'env', '-C', folder, '-i', ...settings, ...argv];
}

/** A folder of that user's own. */
export function makeFolder(network: Network, user: User, name: string): string {
  boxes += 1;
  const folder = join(network.folder, `${name}-${boxes}`);
  mkdirSync(folder);
  if (user === 'user') chownSync(folder, USER_ID, USER_ID);
  return folder;
}

export function userEnvironment(folder: string): NodeJS.ProcessEnv {
  return { PATH: `${dirname(process.execPath)}:${SYSTEM_PATH}`, HOME: folder, LANG: 'C.UTF-8' };
}

export function writePolicy(folder: string, rules: string): string {
  const file = join(folder, 'policy.yaml');
  const indented = rules.trim().replaceAll(/^/gm, '  ');
  const wrapped = `apiVersion: sallyport.dev/v1alpha1\nkind: SecurityPolicy\nmetadata: {name: test}\nspec:\n  podSelector: {}\n${indented}\n`;
  writeFileSync(file, rules.includes('apiVersion:') ? rules : wrapped);
  chmodSync(file, 0o644);
  return file;
}

export async function openBox(network: Network, options: BoxOptions): Promise<Box> {
  const { user, policy } = options;
  const folder = makeFolder(network, user, 'box');
  const log = join(folder, 'records.jsonl');
  const policyArgs = policy === undefined ? [] : ['--policy', writePolicy(folder, policy)];
  const env = { ...userEnvironment(folder), ...options.env };
  const argv = [...PROGRAM, 'run', ...policyArgs, '--log', log, '--summary', 'never', ...(options.args ?? [])];
  const running = start(asUser(network, user, folder, env, [...argv, '--', '/bin/sh']), { streams: 'pipe' });
  const { stdin, stdout } = running.child;
  if (stdin === null || stdout === null) throw new Error('a shell needs pipes');
  let onLine: ((line: string) => void) | undefined;
  createInterface({ input: stdout }).on('line', (line) => onLine?.(line));
  let scripts = 0;
  let forgotten = 0;

  const box: Box = {
    running,
    folder,
    async run(script, timeoutMs = 20_000) {
      scripts += 1;
      const file = (kind: string): string => join(folder, `${scripts}.${kind}`);
      const mark = `@${scripts} `;
      writeFileSync(file('sh'), script);
      const status = await new Promise<number>((resolve, reject) => {
        const fail = (why: string): void => reject(new Error(`${why}: ${script}\n${running.said()}`));
        const onEnd = (): void => fail('the box ended during');
        const timer = setTimeout(() => {
          void running.close();
          fail(`not done in ${timeoutMs} ms`);
        }, timeoutMs);
        running.child.once('exit', onEnd);
        onLine = (line) => {
          if (!line.startsWith(mark)) return;
          clearTimeout(timer);
          running.child.off('exit', onEnd);
          resolve(Number(line.slice(mark.length)));
        };
        if (running.ended()) onEnd();
        stdin.write(`sh ${file('sh')} >${file('out')} 2>${file('err')} </dev/null; echo "${mark}$?"\n`);
      });
      return { status, stdout: readFileSync(file('out'), 'utf8'), stderr: readFileSync(file('err'), 'utf8') };
    },
    async python(program, ...args) {
      const file = join(folder, `${scripts + 1}.py`);
      writeFileSync(file, PRELUDE + program);
      const words = args.map((word) => `'${word.replaceAll("'", String.raw`'\''`)}'`);
      const result = await box.run(`exec ${findProgram('python3') ?? 'python3'} ${file} ${words.join(' ')}`);
      if (result.status !== 0) throw new Error(`python ended with ${result.status}: ${result.stderr}`);
      return result.stdout.trim();
    },
    records: () => (readLines(log) as readonly VerdictRecord[]).slice(forgotten),
    async forget() {
      await sleep(RECORDED_WITHIN_MS);
      forgotten = readLines(log).length;
    },
    record: (part) =>
      until(`a record with ${JSON.stringify(part)}`, () => box.records().find((record) => hasPart(record, part))).catch(
        (error: unknown) => {
          throw new Error(`among\n${box.records().slice(-6).map((record) => JSON.stringify(record)).join('\n')}`, { cause: error });
        },
      ), // prettier-ignore
    async close() {
      stdin.end('exit 0\n');
      await until('the box to end', () => (running.ended() ? true : undefined)).catch(() => running.close());
    },
  };
  await box.run(':');
  return box;
}

export interface OnceOptions extends BoxOptions {
  readonly input?: string | Buffer;
  readonly timeoutMs?: number;
  /** A wrapper that starts `sallyport run`, as that user. */
  readonly around?: readonly string[];
  /** A wrapper that starts all of it, as root. */
  readonly outside?: readonly string[];
}

export interface OnceResult extends Outcome {
  readonly folder: string;
  readonly records: readonly VerdictRecord[];
}

/** `sallyport run` of one command, to its end. */
export async function runOnce(network: Network, command: readonly string[], options: OnceOptions): Promise<OnceResult> {
  const { user, policy, args = [], env = {}, around = [], outside = [], ...rest } = options;
  const folder = makeFolder(network, user, 'once');
  const log = join(folder, 'records.jsonl');
  const policyArgs = policy === undefined ? [] : ['--policy', writePolicy(folder, policy)];
  const argv = [...around, ...PROGRAM, 'run', ...policyArgs, '--log', log, ...args, '--', ...command];
  const started = asUser(network, user, folder, { ...userEnvironment(folder), ...env }, argv);
  const { enter } = network.host;
  const outcome = await run([...enter, ...outside, ...started.slice(enter.length)], rest);
  return { ...outcome, folder, records: readLines(log) as readonly VerdictRecord[] };
}

function hasPart(whole: unknown, part: unknown): boolean {
  if (typeof part !== 'object' || part === null) return whole === part;
  if (typeof whole !== 'object' || whole === null) return false;
  return Object.entries(part).every(([key, value]) => hasPart((whole as Record<string, unknown>)[key], value));
}
