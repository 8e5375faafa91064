/**
 * Child processes of the benchmark: started on a named core, measured from /proc, ended by the id of their own group.
 * Every child dies with the benchmark (parent-death signal), so that even a SIGKILL of it leaves nothing behind.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

export interface Running {
  readonly pid: number;
  readonly child: ChildProcess;
  /** What it wrote to stderr (and to stdout, unless that went to a file or a pipe), the last 4,000 characters. */
  readonly said: () => string;
  readonly ended: () => boolean;
  /** SIGTERM, and SIGKILL two seconds later; resolves when it is gone. */
  readonly close: () => Promise<void>;
}

export interface StartOptions {
  /** A file that takes stdout, or `pipe` for a caller that reads it (and writes stdin). */
  readonly stdout?: { readonly file: string } | 'pipe';
  readonly cwd?: string;
}

/** Starts `argv` bound to `core`. Wrappers (setpriv, taskset, nsenter) replace themselves, so the pid is the program's own. */
export function start(core: number, argv: readonly string[], options: StartOptions = {}): Running {
  const file = typeof options.stdout === 'object' ? openSync(options.stdout.file, 'a') : undefined;
  const piped = options.stdout === 'pipe';
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', 'taskset', '-c', String(core), ...argv], {
    stdio: [piped ? 'pipe' : 'ignore', file ?? 'pipe', 'pipe'],
    cwd: options.cwd,
    detached: true, // Ctrl-C reaches the benchmark alone, which then ends its children in order
  });
  if (file !== undefined) closeSync(file);
  let said = '';
  const hear = (chunk: Buffer): void => {
    said = (said + chunk.toString('latin1')).slice(-4000);
  };
  child.stderr?.on('data', hear);
  if (!piped) child.stdout?.on('data', hear);
  child.on('error', (error) => hear(Buffer.from(error.message)));
  const { pid } = child;
  if (pid === undefined) throw new Error(`cannot start ${argv.join(' ')}: is setpriv (util-linux) installed?`);
  const ended = (): boolean => child.exitCode !== null || child.signalCode !== null;
  return {
    pid,
    child,
    said: () => said,
    ended,
    close: async () => {
      if (ended()) return;
      const gone = once(child, 'exit');
      signalGroup(pid, 'SIGTERM');
      const patience = setTimeout(() => signalGroup(pid, 'SIGKILL'), 2000);
      await gone;
      clearTimeout(patience);
    },
  };
}

/** To a child and what it started: a shell's load must not outlive the shell. The group is the child's own (`detached`). */
function signalGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** Runs to the end and gives its stdout; throws with its stderr when it fails. */
export async function capture(argv: readonly string[], input = ''): Promise<string> {
  const [program = '', ...rest] = argv;
  const child = spawn(program, rest, { stdio: ['pipe', 'pipe', 'pipe'] });
  let out = '';
  let err = '';
  child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (err += chunk.toString()));
  child.stdin.on('error', () => undefined); // it may end without reading its input
  child.stdin.end(input);
  const [code] = (await once(child, 'close')) as [number | null];
  if (code !== 0) throw new Error(`${argv.join(' ')} failed (${String(code)}): ${err.trim()}`);
  return out;
}

/** Waits until `probe` gives true. Throws, with what the process said, when that takes too long or the process ended. */
export async function ready(what: string, running: Running, probe: () => Promise<boolean> | boolean): Promise<void> {
  const deadline = Date.now() + 15_000;
  while (!(await probe())) {
    if (running.ended()) throw new Error(`${what} ended before it was ready: ${running.said().trim()}`);
    if (Date.now() > deadline) throw new Error(`${what} was not ready within 15 s: ${running.said().trim()}`);
    await sleep(20);
  }
}

/** The clock ticks a second of utime and stime in /proc, fixed at 100 in the kernel's interface to user space. */
const TICKS_PER_SECOND = 100;

/** User and system time of whole processes, their ended threads included, in seconds. */
export function cpuSeconds(pids: readonly number[]): number {
  let ticks = 0;
  for (const pid of pids) {
    const { userTicks, systemTicks } = parseStat(readFileSync(`/proc/${String(pid)}/stat`, 'latin1'));
    ticks += userTicks + systemTicks;
  }
  return ticks / TICKS_PER_SECOND;
}

export interface Stat {
  readonly parent: number;
  readonly userTicks: number;
  readonly systemTicks: number;
}

/** Fields of /proc/PID/stat. The command name stands in parentheses and may itself hold spaces and parentheses. */
export function parseStat(text: string): Stat {
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return { parent: Number(fields[1]), userTicks: Number(fields[11]), systemTicks: Number(fields[12]) };
}

export interface Memory {
  readonly rssBytes: number;
  readonly privateDirtyBytes: number;
}

export function memory(pids: readonly number[]): Memory {
  let rssBytes = 0;
  let privateDirtyBytes = 0;
  for (const pid of pids) {
    const rollup = readFileSync(`/proc/${String(pid)}/smaps_rollup`, 'latin1');
    rssBytes += kibibytes(rollup, 'Rss');
    privateDirtyBytes += kibibytes(rollup, 'Private_Dirty');
  }
  return { rssBytes, privateDirtyBytes };
}

function kibibytes(rollup: string, field: string): number {
  const value = new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(rollup)?.[1];
  if (value === undefined) throw new Error(`smaps_rollup has no ${field}`);
  return Number(value) * 1024;
}

export interface Tree {
  /** `root` and its descendants, but for the command and its own: a firewall without what it guards. */
  readonly firewall: readonly number[];
  readonly command: number | undefined;
}

/** The processes under `root`, told apart by the command line of the command. */
export function processTree(root: number, isCommand: (argv: readonly string[]) => boolean): Tree {
  const children = new Map<number, number[]>();
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      const { parent } = parseStat(readFileSync(`/proc/${entry}/stat`, 'latin1'));
      children.set(parent, [...(children.get(parent) ?? []), Number(entry)]);
    } catch {
      // it ended between the listing and the reading
    }
  }
  const firewall: number[] = [];
  let command: number | undefined;
  const visit = (pid: number): void => {
    if (isCommand(commandLine(pid))) {
      command = pid;
      return;
    }
    firewall.push(pid);
    for (const child of children.get(pid) ?? []) visit(child);
  };
  visit(root);
  return { firewall, command };
}

function commandLine(pid: number): string[] {
  try {
    return readFileSync(`/proc/${String(pid)}/cmdline`, 'latin1')
      .split('\0')
      .slice(0, -1);
  } catch {
    return [];
  }
}
