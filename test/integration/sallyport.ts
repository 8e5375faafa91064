/**
 * `sallyport run` as people start it: the real command line, as root and as an ordinary user, with files of its own.
 * Nothing here knows what is inside; whatever it starts it ends, by its process id.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { chmodSync, chownSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const REPOSITORY = fileURLToPath(new URL('../../', import.meta.url));
const COMMAND_LINE = join(REPOSITORY, 'cmd/sallyport.ts');

/** Who runs it. `uid` is one that no account of the machine has. */
export interface Person {
  readonly name: string;
  readonly uid: number;
  /** Starts a program as that person. */
  readonly prefix: readonly string[];
}

const OWN_UID = process.getuid?.() ?? -1;
const UNKNOWN_UID = 12345;

export const ROOT: Person = { name: 'root', uid: 0, prefix: [] };
export const USER: Person =
  OWN_UID === 0
    ? {
        name: 'an ordinary user',
        uid: UNKNOWN_UID,
        prefix: ['setpriv', `--reuid=${UNKNOWN_UID}`, `--regid=${UNKNOWN_UID}`, '--clear-groups'],
      }
    : { name: 'an ordinary user', uid: OWN_UID, prefix: [] };
export const PEOPLE: readonly Person[] = [ROOT, USER];

/** Why this person cannot run anything here, if so. */
export function whyNot(person: Person): string | undefined {
  return person === ROOT && OWN_UID !== 0 ? 'the suite itself must be run as root' : undefined;
}

export interface Workspace {
  readonly path: string;
  file(name: string, text: string): string;
  close(): void;
}

/** A folder that this person may write to, and nobody else. */
export function makeWorkspace(person: Person): Workspace {
  const path = mkdtempSync(join(tmpdir(), 'sallyport-test-'));
  const give = (file: string, mode: number): void => {
    chmodSync(file, mode);
    if (OWN_UID === 0) chownSync(file, person.uid, person.uid);
  };
  give(path, 0o755);
  return {
    path,
    file(name, text) {
      const file = join(path, name);
      writeFileSync(file, text);
      give(file, 0o644);
      return file;
    },
    close() {
      rmSync(path, { recursive: true, force: true });
    },
  };
}

export interface StartOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Programs and arguments before the command line, run as the person: `unshare -m sh -c '…' sh` and the like. */
  readonly within?: readonly string[];
}

export interface Finished {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: Buffer;
  readonly stderr: string;
}

export interface RunOptions extends StartOptions {
  readonly input?: Buffer | string;
  readonly timeoutMs?: number;
}

/** Arguments that let everything through and say nothing: what a test uses that is not about verdicts. */
export const QUIETLY: readonly string[] = ['--on-violation', 'Notify', '--summary', 'never'];

/** The whole argument vector of `sallyport run …` for this person. */
export function commandLine(person: Person, args: readonly string[], within: readonly string[] = []): string[] {
  return [...person.prefix, ...within, process.execPath, COMMAND_LINE, 'run', ...args];
}

export function startSallyport(person: Person, args: readonly string[], options: StartOptions = {}): ChildProcess {
  const [program = '', ...rest] = commandLine(person, args, options.within);
  return spawn(program, rest, {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { ...process.env, ...options.env },
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  });
}

/** Runs to the end. One that does not end is killed, and shows as such. */
export function runSallyport(person: Person, args: readonly string[], options: RunOptions = {}): Promise<Finished> {
  const child = startSallyport(person, args, options);
  child.stdin?.on('error', () => undefined); // a command need not read what it is given
  child.stdin?.end(options.input ?? '');
  return finish(child, options.timeoutMs);
}

export function finish(child: ChildProcess, timeoutMs = 30_000): Promise<Finished> {
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdout?.on('data', (chunk: Buffer) => stdout.push(chunk));
  child.stderr?.on('data', (chunk: Buffer) => stderr.push(chunk));
  const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs);
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      resolve({ code, signal, stdout: Buffer.concat(stdout), stderr: Buffer.concat(stderr).toString() });
    });
  });
}

export interface LoggedRecord {
  readonly verdict: string;
  readonly reason: string;
  readonly class: string;
  readonly rule?: string;
  readonly policy?: string;
  readonly destination: {
    readonly address: string;
    readonly port: number;
    readonly requestedName?: string;
    readonly names: readonly string[];
  };
  readonly tags: Readonly<Record<string, string>>;
}

export function readRecords(file: string): readonly LoggedRecord[] {
  if (!existsSync(file)) return [];
  const lines = readFileSync(file, 'utf8').split('\n');
  return lines.filter((line) => line !== '').map((line) => JSON.parse(line) as LoggedRecord);
}

/** Polls, because what it waits for is another process's doing. */
export async function waitUntil(what: string, holds: () => boolean, timeoutMs = 10_000): Promise<void> {
  const end = performance.now() + timeoutMs;
  while (!holds()) {
    if (performance.now() > end) throw new Error(`waited ${timeoutMs} ms in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
