/**
 * Programs that the tests start: each is ended by its own id, and dies with the test run (parent-death signal), so that
 * nothing outlives it, however it ends.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

export interface Running {
  readonly pid: number;
  readonly child: ChildProcess;
  /** The last of what it wrote to the streams that go nowhere else. */
  readonly said: () => string;
  readonly ended: () => boolean;
  /** Ends it; settles when it is gone. */
  readonly close: () => Promise<void>;
}

export interface Outcome {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

interface StartOptions {
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
  /** `pipe`: the caller writes stdin and reads stdout; else stdin is empty and stdout is what it `said`. */
  readonly streams?: 'pipe';
  /** Takes stdout. */
  readonly file?: string;
  /** How `close` ends it; SIGTERM, and after two seconds SIGKILL, by default. */
  readonly endedBy?: 'SIGKILL';
}

/** Wrappers (setpriv, nsenter, env) replace themselves: the pid is the program's own. */
export function start(argv: readonly string[], options: StartOptions = {}): Running {
  const piped = options.streams === 'pipe';
  const file = options.file === undefined ? undefined : openSync(options.file, 'a');
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', ...argv], {
    stdio: [piped ? 'pipe' : 'ignore', file ?? 'pipe', 'pipe'],
    cwd: options.cwd,
    env: options.env,
  });
  if (file !== undefined) closeSync(file);
  let said = '';
  const hear = (chunk: Buffer): void => {
    said = (said + chunk.toString()).slice(-8192);
  };
  child.stderr?.on('data', hear);
  if (!piped) child.stdout?.on('data', hear);
  child.stdin?.on('error', () => undefined); // it may end without reading
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
      child.kill(options.endedBy ?? 'SIGTERM');
      const patience = setTimeout(() => child.kill('SIGKILL'), 2000);
      await gone;
      clearTimeout(patience);
    },
  };
}

interface RunOptions {
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
  readonly input?: string | Buffer;
  readonly timeoutMs?: number;
}

/** Runs to the end. Past the time (20 s) it is killed, and the outcome has that signal. */
export async function run(argv: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  const { child } = start(argv, { streams: 'pipe', ...options });
  const out: Buffer[] = [];
  const err: Buffer[] = [];
  child.stdout?.on('data', (chunk: Buffer) => out.push(chunk));
  child.stderr?.on('data', (chunk: Buffer) => err.push(chunk));
  child.stdin?.end(options.input ?? '');
  const timer = setTimeout(() => child.kill('SIGKILL'), options.timeoutMs ?? 20_000);
  const [status, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null];
  clearTimeout(timer);
  return { status, signal, stdout: Buffer.concat(out).toString(), stderr: Buffer.concat(err).toString() };
}

/** `run` of what must succeed; gives its stdout. */
export async function capture(argv: readonly string[], options: RunOptions = {}): Promise<string> {
  const { status, signal, stdout, stderr } = await run(argv, options);
  if (status !== 0) throw new Error(`${argv.join(' ')} failed (${signal ?? String(status)}): ${stderr.trim()}`);
  return stdout;
}

/** The first result of `probe` that is not undefined. */
export async function until<T>(
  what: string,
  probe: () => Promise<T | undefined> | T | undefined,
  timeoutMs = 5000,
): Promise<T> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const found = await probe();
    if (found !== undefined) return found;
    if (Date.now() > deadline) throw new Error(`${what}: not within ${timeoutMs} ms`);
    await sleep(15);
  }
}
