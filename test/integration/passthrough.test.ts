/** A command behind the firewall behaves as if the firewall were not there. */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  asUser,
  makeFolder,
  PROGRAM,
  runOnce,
  USERS,
  userEnvironment,
  type OnceOptions,
  type OnceResult,
} from './box.ts';
import { ADDRESSES, PORTS } from './network.ts';
import { run, start, until } from './processes.ts';
import { countArrivals, useNetwork } from './suite.ts';

const network = useNetwork();
const QUIET = ['--summary', 'never', '--on-violation', 'Notify'];

describe.each(USERS)('as %s', (user) => {
  const boxed = (command: readonly string[], options: Partial<OnceOptions> = {}): Promise<OnceResult> =>
    runOnce(network(), command, { user, args: QUIET, ...options });
  const shell = (script: string, options: Partial<OnceOptions> = {}): Promise<OnceResult> =>
    boxed(['sh', '-c', script], options);

  describe('streams', () => {
    it('carry bytes unchanged, in and out', async () => {
      const input = randomBytes(3_000_000).toString('base64');
      const { stdout, status } = await boxed(['cat'], { input });
      expect(status).toBe(0);
      expect(stdout === input).toBe(true);
    });

    it('are three', async () => {
      const { stdout, stderr } = await shell('echo out; echo err >&2; wc -c');
      expect(stdout).toBe('out\n0\n');
      expect(stderr).toBe('err\n');
    });

    it('end where their reader does', async () => {
      const around = ['sh', '-c', '"$@" | head -1', 'sh'];
      const { stdout, status } = await boxed(['yes'], { around });
      expect([stdout, status]).toEqual(['y\n', 0]);
    });

    it('are not held open by what the command left running', async () => {
      const begun = performance.now();
      const { stdout, status } = await shell('sleep 30 & setsid sleep 30 & echo done');
      expect([stdout, status]).toEqual(['done\n', 0]);
      expect(performance.now() - begun).toBeLessThan(10_000);
    });
  });

  describe('the end', () => {
    it.each([0, 1, 3, 64, 125, 255])('with status %s is passed on', async (status) => {
      expect((await shell(`exit ${status}`)).status).toBe(status);
    });

    it.each([
      ['TERM', 143],
      ['KILL', 137],
      ['SEGV', 139],
      ['INT', 130],
      ['HUP', 129],
    ])('by signal %s is status %s, as in a shell', async (name, status) => {
      expect((await shell(`kill -${name} $$; sleep 5`)).status).toBe(status);
    });
  });

  it.each(['TERM', 'INT', 'HUP', 'USR1', 'USR2', 'QUIT', 'WINCH', 'CONT'])('signal %s to it reaches the command', async (name) => {
    const folder = makeFolder(network(), user, 'signal');
    const script = `trap 'echo caught ${name}; exit 7' ${name}; echo ready; while :; do sleep 0.05; done`;
    const argv = asUser(network(), user, folder, userEnvironment(folder), [...PROGRAM, 'run', ...QUIET, '--', 'sh', '-c', script]);
    const running = start(argv, { streams: 'pipe' });
    let said = '';
    running.child.stdout?.on('data', (chunk: Buffer) => (said += chunk.toString()));
    await until('the command', () => (said.includes('ready') || running.ended() ? true : undefined));
    process.kill(running.pid, `SIG${name}`);
    const [status] = (await once(running.child, 'close')) as [number | null];
    expect(said).toBe(`ready\ncaught ${name}\n`);
    expect(status).toBe(7);
  }); // prettier-ignore

  it('a signal that ends the command ends it as one', async () => {
    const folder = makeFolder(network(), user, 'signal');
    const argv = asUser(network(), user, folder, userEnvironment(folder), [...PROGRAM, 'run', ...QUIET, '--', 'sh', '-c', 'echo ready; exec sleep 30']);
    const running = start(argv, { streams: 'pipe' });
    let said = '';
    running.child.stdout?.on('data', (chunk: Buffer) => (said += chunk.toString()));
    await until('the command', () => (said.includes('ready') || running.ended() ? true : undefined));
    process.kill(running.pid, 'SIGTERM');
    const [status] = (await once(running.child, 'close')) as [number | null];
    expect(status).toBe(143);
  }); // prettier-ignore

  it('folder, environment, arguments, user, file mode mask and limits are the command’s own', async () => {
    const words = ['', 'a b', '$HOME', '"', "'", '\\', '*', '-x', '--', 'ünï', 'two\nlines'];
    const script = `pwd; env | sort; id; umask; ulimit -c; printf '<%s>' "$@"; cat /proc/self/oom_score_adj; readlink /proc/self/exe`;
    const env = { ODD: 'a b=c\n"', EMPTY: '', NODE_OPTIONS: '--no-warnings', LD_PRELOAD: '' };
    const around = ['sh', '-c', 'umask 027; ulimit -c 77; exec "$@"', 'sh'];
    const folder = makeFolder(network(), user, 'own');
    const command = ['sh', '-c', script, 'sh', ...words];
    const environment = { ...userEnvironment(folder), ...env };
    const bare = await run(asUser(network(), user, folder, environment, [...around, ...command]));
    const within = await run(
      asUser(network(), user, folder, environment, [...around, ...PROGRAM, 'run', ...QUIET, '--', ...command]),
    );
    expect(within.stderr).toBe('');
    expect(within.stdout).toBe(bare.stdout);
  });

  it('a file of the command’s own language is found as the shell finds it', async () => {
    const folder = makeFolder(network(), user, 'path');
    writeFileSync(join(folder, 'tool'), '#!/bin/sh\necho "tool $0 $1"\n', { mode: 0o755 });
    const env = { ...userEnvironment(folder), PATH: `${folder}:/usr/bin:/bin` };
    for (const name of ['tool', './tool', join(folder, 'tool')]) {
      const { stdout } = await run(asUser(network(), user, folder, env, [...PROGRAM, 'run', ...QUIET, '--', name, 'x']));
      expect(stdout).toMatch(/^tool .*tool x\n$/);
    } // prettier-ignore
  });

  it('orphans are reaped', async () => {
    const { stdout } = await shell(
      `for i in 1 2 3 4 5 6 7 8; do (sh -c 'exit 0' &) ; done; sleep 0.5; grep -l '^State:.Z' /proc/[0-9]*/status | wc -l`,
    );
    expect(stdout).toBe('0\n');
  });

  it('the first thing that it does is judged', async () => {
    const arrived = await countArrivals(network(), `${ADDRESSES.attacker[4]} tcp ${PORTS.echo}`);
    const script = `import socket; s=socket.create_connection(('${ADDRESSES.attacker[4]}', ${PORTS.echo}), 3); s.send(b'\\1\\n'); print(s.recv(9))`;
    const { status, records } = await boxed(['python3', '-c', script], { policy: 'default: Deny', args: [] });
    expect(status).toBe(1);
    expect(records).toEqual([expect.objectContaining({ verdict: 'denied', class: 'tcp' })]);
    expect(await arrived()).toBe(0);
  });

  describe('on a terminal', () => {
    interface Shown {
      readonly screen: string;
      readonly status: number;
      readonly failed: string | null;
    }
    type Step = { readonly expect: string } | { readonly send: string } | { readonly size: readonly [number, number] };

    async function onTerminal(steps: readonly Step[], command: readonly string[]): Promise<Shown> {
      const folder = makeFolder(network(), user, 'terminal');
      const driver = ['python3', new URL('clients/terminal.py', import.meta.url).pathname, JSON.stringify(steps)];
      const env = { ...userEnvironment(folder), TERM: 'dumb', PS1: 'inner$ ', HISTFILE: '' };
      const { stdout, stderr } = await run(asUser(network(), user, folder, env, [...driver, ...command]), { timeoutMs: 40_000 });
      if (stdout === '') throw new Error(stderr);
      return JSON.parse(stdout) as Shown;
    } // prettier-ignore
    const sallyport = [...PROGRAM, 'run', ...QUIET, '--'];

    it('all three streams are the terminal, with its size', async () => {
      const script = 'test -t 0 && test -t 1 && test -t 2 && stty size && tty && echo typed: $(head -1)';
      const shown = await onTerminal([{ expect: '/dev/' }, { send: 'hello\n' }], [...sallyport, 'sh', '-c', script]);
      expect(shown.screen.replaceAll('\r', '')).toMatch(/^40 101\n\/dev\/(pts\/\d+|console)\n(hello\n)?typed: hello\n$/);
      expect(shown.status).toBe(0);
    }); // prettier-ignore

    it('a change of its size reaches the command', async () => {
      const script = `trap 'stty size; exit 0' WINCH; echo ready; while :; do sleep 0.05; done`;
      const steps: Step[] = [{ expect: 'ready' }, { size: [50, 132] }, { expect: '50 132' }];
      expect(await onTerminal(steps, [...sallyport, 'sh', '-c', script])).toMatchObject({ failed: null, status: 0 });
    });

    it('Ctrl-C interrupts the command, once', async () => {
      const script = `n=0; trap 'n=$((n+1)); echo caught $n' INT; echo ready; i=0; while [ $i -lt 12 ]; do sleep 0.05; i=$((i+1)); done; exit $n`;
      const shown = await onTerminal([{ expect: 'ready' }, { send: '\x03' }, { expect: 'caught 1' }], [...sallyport, 'sh', '-c', script]);
      expect(shown).toMatchObject({ failed: null, status: 1 });
      const killed = await onTerminal([{ expect: 'ready' }, { send: '\x03' }], [...sallyport, 'sh', '-c', 'echo ready; exec sleep 20']);
      expect(killed.status).toBe(130);
    }); // prettier-ignore

    it('a shell within has its jobs', async () => {
      const steps: Step[] = [
        { expect: 'inner\\$ ' },
        { send: 'sleep 50\n' },
        { send: '\x1a' },
        { expect: 'Stopped' },
        { send: 'jobs; bg; kill %1; wait; echo ended $?\n' },
        { expect: 'ended \\d' },
        { send: 'cat\n' },
        { send: '\x03' },
        { expect: 'inner\\$ ' },
        { send: 'exit 5\n' },
      ];
      const shown = await onTerminal(steps, [...sallyport, 'bash', '--norc', '--noprofile', '-i']);
      expect(shown.failed, shown.screen).toBeNull();
      expect(shown.screen).not.toContain('no job control');
      expect(shown.status).toBe(5);
    });

    it('it is a job of the shell without, stopped and continued, and gives the terminal back', async () => {
      const line = [...sallyport, 'sh', '-c', `"echo started; read x; echo got \\$x"`].join(' ');
      const steps: Step[] = [
        { expect: 'inner\\$ ' },
        { send: `${line}\n` },
        { expect: '\nstarted' },
        { send: '\x1a' },
        { expect: 'Stopped' },
        { send: 'echo between\n' },
        { expect: '\nbetween' },
        { send: 'fg\n' },
        { send: 'word\n' },
        { expect: 'got word' },
        { expect: 'inner\\$ ' },
        { send: `${[...sallyport, 'bash', '--norc', '--noprofile', '-i'].join(' ')}\n` },
        { expect: 'inner\\$ ' },
        { send: 'exit 6\n' },
        { expect: 'inner\\$ ' },
        { send: 'echo last $?\n' },
        { expect: 'last 6' },
        { send: 'exit 0\n' },
      ];
      const shown = await onTerminal(steps, ['bash', '--norc', '--noprofile', '-i']);
      expect(shown.failed, shown.screen).toBeNull();
      expect(shown.status).toBe(0);
    });
  });
});
