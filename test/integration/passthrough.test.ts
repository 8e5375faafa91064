/** The command runs as if the firewall were not there: streams, exit, signals, terminal, environment. As root and as an ordinary user. */
import { spawn, spawnSync } from 'node:child_process';
import { createHash, type Hash } from 'node:crypto';
import { once } from 'node:events';
import { realpathSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { findProgram } from './machine.ts';
import {
  commandLine,
  finish,
  makeWorkspace,
  PEOPLE,
  QUIETLY,
  runSallyport,
  startSallyport,
  waitUntil,
  whyNot,
  type Workspace,
} from './sallyport.ts';

const PYTHON = findProgram('python3') ?? 'python3';
const TERMINAL = fileURLToPath(new URL('programs/terminal.py', import.meta.url));

describe.each(PEOPLE)('passes through, as $name', (person) => {
  let workspace: Workspace;
  beforeEach((context) => {
    const lack = whyNot(person);
    if (lack !== undefined) context.skip(lack);
    workspace = makeWorkspace(person);
  });
  afterEach(() => {
    if (whyNot(person) === undefined) workspace.close();
  });

  const sh = (script: string, options: Parameters<typeof runSallyport>[2] = {}): ReturnType<typeof runSallyport> =>
    runSallyport(person, [...QUIETLY, '--', 'sh', '-c', script], options);
  const python = (script: string, options: Parameters<typeof runSallyport>[2] = {}): ReturnType<typeof runSallyport> =>
    runSallyport(person, [...QUIETLY, '--', PYTHON, '-c', script], options);

  describe('how it ends', () => {
    it.each([0, 1, 3, 64, 126, 255])('exit status %i', async (status) => {
      const { code, stdout, stderr } = await sh(`exit ${status}`);
      expect({ code, stdout: stdout.toString(), stderr }).toEqual({ code: status, stdout: '', stderr: '' });
    });

    it.each([
      ['HUP', 129],
      ['INT', 130],
      ['TERM', 143],
      ['KILL', 137],
      ['SEGV', 139],
    ])('death by SIG%s is 128 and its number', async (name, status) => {
      expect((await sh(`kill -${name} $$`)).code).toBe(status);
    });

    it('children that it leaves in the background end with it', async () => {
      const started = performance.now();
      const { code, stdout } = await sh('setsid sleep 60 & (sleep 60 &) ; echo $!', { cwd: workspace.path });
      expect(code).toBe(0);
      // they hold its standard output open: the end of that is their end
      expect(stdout.toString()).toMatch(/^\d+\n$/);
      expect(performance.now() - started).toBeLessThan(10_000);
    });

    it('orphans of its are reaped while it runs', async () => {
      const { stdout } = await sh(
        'for i in 1 2 3 4 5; do (sleep 0.05 &); done; sleep 0.6; grep -l "^State:.Z" /proc/[0-9]*/status; echo end',
        {},
      );
      expect(stdout.toString()).toBe('end\n');
    });

    it('its own children stay its to wait for', async () => {
      const { stdout, code } = await python(
        `import subprocess\nfor n in range(20): assert subprocess.run(['sh','-c','exit %d' % n]).returncode == n\nprint('all')`,
      );
      expect({ code, said: stdout.toString() }).toEqual({ code: 0, said: 'all\n' });
    });
  });

  describe('streams', () => {
    it('three of them, kept apart', async () => {
      const { stdout, stderr } = await sh('cat; echo out; echo err >&2', { input: 'in\n' });
      expect(stdout.toString()).toBe('in\nout\n');
      expect(stderr).toBe('err\n');
    });

    it('100 MB in and out again, byte for byte', async () => {
      const child = startSallyport(person, [...QUIETLY, '--', 'cat']);
      const { stdin, stdout } = child;
      if (stdin === null || stdout === null) throw new Error('no pipes');
      const [sent, received] = [createHash('sha256'), createHash('sha256')];
      let size = 0;
      stdout.on('data', (chunk: Buffer) => {
        size += chunk.length;
        received.update(chunk);
      });
      const block = Buffer.alloc(1 << 20, 'sally port\n\0\xff', 'latin1');
      for (let index = 0; index < 100; index += 1) {
        block.writeUInt32LE(index, 0);
        await writeHashed(stdin, sent, Buffer.from(block));
      }
      stdin.end();
      const [code] = (await once(child, 'close')) as [number];
      expect({ code, size }).toEqual({ code: 0, size: 100 << 20 });
      expect(received.digest('hex')).toBe(sent.digest('hex'));
    });

    it('the end of standard input is seen, and a command that never reads it ends', async () => {
      expect((await sh('cat >/dev/null; echo eof')).stdout.toString()).toBe('eof\n');
      expect((await sh('exec <&-; echo closed', { input: 'x'.repeat(1 << 20) })).stdout.toString()).toBe('closed\n');
    });

    it('a reader that has gone is a broken pipe for the command alone', () => {
      const line = commandLine(person, [...QUIETLY, '--', 'yes']).join(' ');
      const { stdout, stderr } = spawnSync('bash', ['-c', `${line} | head -1; echo "\${PIPESTATUS[*]}"`]);
      expect(stdout.toString()).toBe('y\n141 0\n');
      expect(stderr.toString()).toBe('');
    });
  });

  describe('signals', () => {
    const COUNT = `import signal, sys, time
count = {}
for name in ('HUP', 'INT', 'TERM', 'USR1', 'USR2', 'QUIT', 'WINCH', 'ALRM'):
    def seen(number, frame, name=name):
        count[name] = count.get(name, 0) + 1
    signal.signal(getattr(signal, 'SIG' + name), seen)
print('up', flush=True)
end = time.time() + float(sys.argv[1])
while time.time() < end:
    time.sleep(0.02)
print(sorted(count.items()), flush=True)
`;

    it('are passed on once each', async () => {
      const child = startSallyport(person, [...QUIETLY, '--', PYTHON, '-c', COUNT, '2']);
      let said = '';
      child.stdout?.on('data', (chunk: Buffer) => (said += chunk.toString()));
      const ended = finish(child);
      await waitUntil('the command is up', () => said.includes('up'));
      for (const name of [
        'SIGHUP',
        'SIGINT',
        'SIGTERM',
        'SIGUSR1',
        'SIGUSR2',
        'SIGQUIT',
        'SIGWINCH',
        'SIGALRM',
      ] as const) {
        child.kill(name);
        await new Promise((resolve) => setTimeout(resolve, 60));
      }
      const { code } = await ended;
      expect(said.split('\n')[1]).toBe(
        `[('ALRM', 1), ('HUP', 1), ('INT', 1), ('QUIT', 1), ('TERM', 1), ('USR1', 1), ('USR2', 1), ('WINCH', 1)]`,
      );
      expect(code).toBe(0);
    });

    it.each(['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGUSR1'] as const)(
      '%s ends a command that does not mind it, with its number',
      async (name) => {
        const child = startSallyport(person, [...QUIETLY, '--', 'sh', '-c', 'echo up; exec sleep 60']);
        let said = '';
        child.stdout?.on('data', (chunk: Buffer) => (said += chunk.toString()));
        const ended = finish(child);
        await waitUntil('the command is up', () => said.includes('up'));
        child.kill(name);
        expect((await ended).code).toBe({ SIGTERM: 143, SIGINT: 130, SIGHUP: 129, SIGUSR1: 138 }[name]);
      },
    );

    it('a signal to the whole process group is one signal for the command', async () => {
      const [program = '', ...rest] = commandLine(person, [...QUIETLY, '--', PYTHON, '-c', COUNT, '1.5']);
      const child = spawn(program, rest, { detached: true, stdio: ['ignore', 'pipe', 'inherit'] });
      let said = '';
      child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
      const ended = finish(child);
      await waitUntil('the command is up', () => said.includes('up'));
      process.kill(-(child.pid ?? 0), 'SIGTERM');
      await ended;
      expect(said.split('\n')[1]).toBe(`[('TERM', 1)]`);
    });
  });

  describe('a terminal', () => {
    interface Step {
      readonly wait: string;
      readonly type?: string;
      readonly pause?: number;
      /** Rows and columns. */
      readonly size?: readonly [number, number];
    }
    const atTerminal = async (
      command: readonly string[],
      steps: readonly Step[],
    ): Promise<{ shown: string; status: number | null }> => {
      const child = spawn(PYTHON, [TERMINAL, JSON.stringify(steps), ...command], {
        stdio: ['ignore', 'pipe', 'inherit'],
        cwd: workspace.path,
      });
      const { stdout } = await finish(child);
      const { failed, ...result } = JSON.parse(stdout.toString()) as {
        shown: string;
        status: number | null;
        failed: Step | null;
      };
      expect(failed, `waited in vain; shown was:\n${result.shown}`).toBeNull();
      return result;
    };
    const behind = (...command: readonly string[]): string[] => commandLine(person, [...QUIETLY, '--', ...command]);

    it('is one for the command, with a name, a size and pseudo-terminals of its own', async () => {
      const script =
        'import os,pty; print([os.isatty(n) for n in (0,1,2)], os.path.exists(os.ttyname(0))); a,b = pty.openpty(); print(os.path.exists(os.ttyname(b)), os.get_terminal_size().columns >= 0, open("/dev/tty").isatty())';
      const { shown } = await atTerminal(behind(PYTHON, '-c', script), []);
      expect(shown).toBe('[True, True, True] True\nTrue True True\n');
    });

    it('has its size, and says when that changes', async () => {
      const script = `trap 'stty size; exit 0' WINCH; echo ready; while :; do sleep 0.05; done`;
      const steps: Step[] = [{ wait: 'ready\\n', size: [50, 132] }, { wait: '^50 132\\n' }];
      expect((await atTerminal(behind('sh', '-c', script), steps)).status).toBe(0);
    });

    it('an interactive shell has job control', async () => {
      const { shown, status } = await atTerminal(behind('bash', '--norc', '-i'), [
        { wait: '\\$ $', type: 'sleep 50\n', pause: 0.3 },
        { wait: 'sleep 50\n', type: '\u001a', pause: 0.3 },
        { wait: 'Stopped.*\n\\$ $', type: 'jobs; bg; fg\n' },
        { wait: 'sleep 50 &\nsleep 50\n', type: '\u0003', pause: 0.3 },
        { wait: '\\$ $', type: 'echo rc=$?\n' },
        { wait: '^rc=130', type: 'exit 7\n' },
      ]);
      expect(shown).not.toContain('no job control');
      expect(status).toBe(7);
    });

    it('Ctrl-C reaches the command once, which may go on', async () => {
      const script = `import signal,time
n = []
signal.signal(signal.SIGINT, lambda *a: n.append(1))
print('up', flush=True)
end = time.time() + 1
while time.time() < end: time.sleep(0.02)
print('got', len(n))`;
      const { shown, status } = await atTerminal(behind(PYTHON, '-c', script), [{ wait: 'up\n', type: '\u0003' }]);
      expect(shown).toContain('got 1\n');
      expect(status).toBe(0);
    });

    it('is given back to the shell that started it, whether ended, stopped or interrupted', async () => {
      const line = behind('bash', '--norc', '-i').join(' ');
      const sleeping = behind('sleep', '30').join(' ');
      const { status } = await atTerminal(
        ['bash', '--norc', '-i'],
        [
          { wait: '\\$ $', type: `${line}\n` },
          { wait: '\\$ $', type: 'echo inner=$((20+3))\n', pause: 0.2 },
          { wait: '^inner=23\n', type: 'exit 4\n' },
          { wait: '^exit\n[\\s\\S]*\\$ $', type: 'echo outer=$?; read answer; echo got-$answer\n' },
          { wait: '^outer=4\n', type: 'abc\n' },
          { wait: '^got-abc\n', type: `${sleeping}\n` },
          { wait: 'sleep 30\n', type: '\u001a', pause: 1.2 },
          { wait: 'Stopped', type: 'fg\n' },
          { wait: 'sleep 30\n', type: '\u0003', pause: 0.5 },
          { wait: '\\$ $', type: 'echo rc=$?\n' },
          { wait: '^rc=130\n', type: 'exit 0\n' },
        ],
      );
      expect(status).toBe(0);
    });
  });

  describe('surroundings', () => {
    it('working directory, umask, user, groups and argument vector', async () => {
      const folder = join(workspace.path, 'with space and ü');
      spawnSync(person.prefix[0] ?? 'mkdir', [
        ...person.prefix.slice(1),
        ...(person.prefix.length > 0 ? ['mkdir'] : []),
        folder,
      ]);
      const { stdout } = await runSallyport(
        person,
        [
          ...QUIETLY,
          '--',
          PYTHON,
          '-c',
          'import os,sys; print(os.getcwd()); m = os.umask(0); print(oct(m), os.getuid(), os.getgid()); print(sys.argv[1:])',
          '',
          '--',
          '-x',
          'a b',
          "it's",
          '$HOME',
          'ü\n',
        ],
        { cwd: folder, within: ['sh', '-c', 'umask 027; exec "$@"', 'sh'] },
      );
      const ids =
        person.prefix.length > 0 || person.uid === 0
          ? `${person.uid} ${person.uid}`
          : `${person.uid} ${process.getgid?.() ?? ''}`;
      expect(stdout.toString()).toBe(
        `${realpathSync(folder)}\n0o27 ${ids}\n['', '--', '-x', 'a b', "it's", '$HOME', 'ü\\n']\n`,
      );
    });

    it('a program is called by the name that it was given', async () => {
      expect(
        (await sh('tr "\\0" " " < /proc/self/cmdline; tr "\\0" " " < /proc/$$/cmdline')).stdout.toString(),
      ).toMatch(/sh -c /);
      const relative = await runSallyport(person, [...QUIETLY, '--', './named'], {
        cwd: workspace.path,
        within: ['sh', '-c', `printf '#!/bin/sh\\necho "$0"\\n' > named; chmod +x named; exec "$@"`, 'sh'],
      });
      expect(relative.stdout.toString()).toBe('./named\n');
    });

    it('the environment, odd values and all 200 KB of it', async () => {
      const odd: Record<string, string> = {
        EMPTY: '',
        LINES: 'a\nb\n',
        EQUALS: '=x==',
        'with.dot': 'ü€😀',
        NODE_OPTIONS: '--stack-trace-limit=17',
        LD_PRELOAD_TEST: '/nowhere.so',
        SALLYPORT_ODD: '\u0001\u007f',
      };
      for (let index = 0; index < 20; index += 1) odd[`LARGE_${index}`] = String(index % 10).repeat(10_000);
      const { stdout, stderr } = await runSallyport(
        person,
        [...QUIETLY, '--', PYTHON, '-c', 'import json,os; print(json.dumps(dict(os.environ)))'],
        { env: odd },
      );
      expect(stderr).toBe('');
      const seen = JSON.parse(stdout.toString()) as Record<string, string>;
      // Python sets this one for itself
      expect({ ...seen, LC_CTYPE: '' }).toEqual({ ...process.env, ...odd, LC_CTYPE: '' });
    });

    it('all that a program is told of itself is what it is told without the firewall', async () => {
      const script =
        'pwd; id; umask; ulimit -c; ulimit -s; env | sort; cat /proc/self/oom_score_adj; nice; readlink /proc/self/exe';
      const around = ['sh', '-c', 'umask 027; ulimit -c 77; exec nice -n 3 "$@"', 'sh'];
      const command = ['sh', '-c', script];
      const [program = '', ...rest] = [...person.prefix, ...around, ...command];
      const bare = spawnSync(program, rest, { cwd: workspace.path });
      const within = await runSallyport(person, [...QUIETLY, '--', ...command], {
        cwd: workspace.path,
        within: around,
      });
      expect(within.stderr).toBe('');
      expect(within.stdout.toString()).toBe(bare.stdout.toString());
    });

    it('files are those of the host, as the same user', async () => {
      const file = workspace.file('here', 'text\n');
      const { stdout } = await sh(`cat ${file}; echo more > made; stat -c %u made`, { cwd: workspace.path });
      expect(stdout.toString()).toBe(`text\n${person.uid}\n`);
    });
  });
});

async function writeHashed(stream: NodeJS.WritableStream, hash: Hash, block: Buffer): Promise<void> {
  hash.update(block);
  if (!stream.write(block)) await once(stream, 'drain');
}
