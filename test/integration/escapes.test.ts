/**
 * Ways out beside the network, and what stays on the host afterwards. One program tries them all in one box for each
 * person; the tests read how each attempt ended. Daemons that must not be reached say themselves who came.
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  rmSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { findProgram, SYSTEM_PATH } from './machine.ts';
import {
  finish,
  makeWorkspace,
  PEOPLE,
  QUIETLY,
  readRecords,
  ROOT,
  runSallyport,
  startSallyport,
  waitUntil,
  whyNot,
  type LoggedRecord,
  type Person,
  type Workspace,
} from './sallyport.ts';

const program = (name: string): string => fileURLToPath(new URL(`programs/${name}`, import.meta.url));
const PYTHON = findProgram('python3') ?? 'python3';
const DENY_ALL = `apiVersion: sallyport.dev/v1alpha1
kind: SecurityPolicy
metadata: {name: nothing}
spec: {podSelector: {}, default: Deny}
`;
/** linux/capability.h, of what the command of root keeps. */
const KEPT = [0, 1, 3, 4, 5, 6, 7, 8, 10, 14, 18, 23, 29, 31];
const REFUSED = /^(EPERM|EACCES|EINVAL|EROFS)$/;
const isRoot = process.getuid?.() === 0;

interface Daemons {
  /** Paths that somebody reached, in order. */
  readonly reached: () => readonly string[];
  close(): Promise<void>;
}

async function startDaemons(paths: readonly string[], within: readonly string[] = []): Promise<Daemons> {
  const [first = PYTHON, ...rest] = [...within, PYTHON, program('listen-unix.py'), ...paths];
  const child = spawn(first, rest, { stdio: ['pipe', 'pipe', 'inherit'] });
  let said = '';
  child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
  await waitUntil('daemons listen', () => said.includes('READY'));
  return {
    reached: () => said.split('\n').filter((line) => line !== '' && line !== 'READY'),
    close: async () => {
      const ended = new Promise((resolve) => child.once('exit', resolve));
      child.stdin.end();
      await ended;
    },
  };
}

describe.each(PEOPLE)('beside the network, as $name', (person) => {
  const lack = whyNot(person);
  beforeEach((context) => {
    if (lack !== undefined) context.skip(lack);
  });

  let workspace: Workspace;
  let daemons: Daemons[] = [];
  let runFolder: string | undefined;
  let results: Results = {};
  let records: readonly LoggedRecord[] = [];
  let exitCode: number | null = null;
  let paths: Readonly<Record<'tmp' | 'run' | 'abstract' | 'agent' | 'docker' | 'allowed', string>>;

  beforeAll(async () => {
    if (lack !== undefined) return;
    workspace = makeWorkspace(person);
    const deep = join(workspace.path, 'a/b/c');
    mkdirSync(deep, { recursive: true });
    const tag = workspace.path.slice(-6);
    runFolder = isRoot ? `/run/sallyport-test-${tag}` : undefined;
    if (runFolder !== undefined) mkdirSync(runFolder);
    paths = {
      tmp: join(workspace.path, 'daemon.sock'),
      run: runFolder === undefined ? join(workspace.path, 'run.sock') : join(runFolder, 'daemon.sock'),
      abstract: `@sallyport-test-${tag}`,
      agent: join(deep, 'agent.sock'),
      docker: join(deep, 'docker.sock'),
      allowed: join(workspace.path, 'allowed.sock'),
    };
    // the last two listen in another network namespace, as a container's daemons do: only the environment names them
    const away = isRoot ? ['unshare', '--net'] : ['unshare', '--user', '--map-current-user', '--net'];
    daemons = [
      await startDaemons([paths.tmp, paths.run, paths.abstract, paths.allowed]),
      await startDaemons([paths.agent, paths.docker], away),
    ];
    const setuid = isRoot ? join(workspace.path, 'setuid-python') : undefined;
    const filecaps = isRoot ? join(workspace.path, 'filecaps-python') : undefined;
    for (const copy of [setuid, filecaps]) if (copy !== undefined) copyFileSync(PYTHON, copy);
    if (setuid !== undefined) chownSync(setuid, 0, 0);
    if (setuid !== undefined) chmodSync(setuid, 0o4755);
    // cap_net_admin,cap_net_raw+ep as setcap(8) would write it
    if (filecaps !== undefined) setFileCapabilities(filecaps, '0100000200300000000000000000000000000000');
    const plan = {
      sockets: [paths.run, paths.tmp, paths.abstract, paths.agent, paths.docker, paths.allowed],
      setuid,
      filecaps,
      asUser: person === ROOT ? 12345 : undefined,
    };
    const log = join(workspace.path, 'log.jsonl');
    const run = await runSallyport(
      person,
      [
        '--policy',
        workspace.file('policy.yaml', DENY_ALL),
        '--log',
        log,
        '--summary',
        'never',
        '--allow-socket',
        paths.allowed,
        '--',
        PYTHON,
        program('try-escapes.py'),
        JSON.stringify(plan),
      ],
      {
        env: { PATH: SYSTEM_PATH, SSH_AUTH_SOCK: paths.agent, DOCKER_HOST: `unix://${paths.docker}` },
        cwd: workspace.path,
        // what a careless shell leaves open
        within: ['bash', '-c', 'exec 9</dev/null 30</dev/null; exec "$@"', 'bash'],
      },
    );
    exitCode = run.code;
    expect(run.stderr).toBe('');
    results = JSON.parse(run.stdout.toString()) as Results;
    records = readRecords(log);
  });

  afterAll(async () => {
    if (lack !== undefined) return;
    for (const each of daemons) await each.close();
    if (runFolder !== undefined) rmSync(runFolder, { recursive: true, force: true });
    workspace.close();
  });

  /** Of an attempt inside a namespace of its own: `['in a user namespace', 'mark']`. */
  const read = (...name: readonly string[]): unknown =>
    name.reduce<unknown>((value, key) => (value as Results | undefined)?.[key], results);

  describe('Unix sockets', () => {
    it.each(['tmp', 'run', 'agent', 'docker'] as const)('hides the %s socket of a daemon', (name) => {
      expect(read(`connect ${paths[name]}`)).toBe('ECONNREFUSED');
    });

    it('abstract sockets are not those of the host', () => {
      expect(read(`connect ${paths.abstract}`)).toBe('ECONNREFUSED');
    });

    it('the one that --allow-socket names is open, and no daemon but its heard anything', () => {
      expect(read(`connect ${paths.allowed}`)).toBe('done');
      expect(daemons.flatMap((each) => each.reached())).toEqual([paths.allowed]);
    });

    it('stay hidden in a user namespace of the command’s own, where it is root', () => {
      expect(read('in a user namespace', 'made')).toBe('done');
      if (runFolder === undefined) return;
      expect(read('in a user namespace', 'umount the socket')).toBe('EINVAL');
      expect(read('in a user namespace', 'connect the socket')).toBe('ECONNREFUSED');
      expect(read('in a user namespace', 'bind / with all')).toBe('done');
      expect(read('in a user namespace', 'umount the socket in the copy')).toBe('EINVAL');
      expect(read('in a user namespace', 'connect the socket in the copy')).toBe('ECONNREFUSED');
      expect(read('in a user namespace', 'connect the socket through the overlay')).toMatch(/^(ENOENT|ECONNREFUSED)$/);
    });
  });

  describe('the command starts with', () => {
    it('no capability that could undo the firewall, now or ever', () => {
      const kept = KEPT.reduce((sum, bit) => sum | (1n << BigInt(bit)), 0n);
      const set = (name: string): bigint => BigInt(`0x${String(read('capabilities', name))}`);
      // what root had to begin with may be less, in a container
      expect(set('CapBnd') & ~kept).toBe(0n);
      expect(set('CapEff') & ~(person === ROOT ? kept : 0n)).toBe(0n);
      expect(set('CapPrm')).toBe(set('CapEff'));
      expect(set('CapInh')).toBe(0n);
      expect(set('CapAmb')).toBe(0n);
    });

    it('its three streams and no other descriptor', () => {
      expect(read('descriptors')).toEqual([0, 1, 2]);
    });

    it('no process in sight but its own and the first of the box', () => {
      expect(read('processes')).toEqual([1, read('own process')]);
    });

    it('no disk, memory, input or vsock device', () => {
      expect(read('block devices')).toEqual([]);
      const harmless = /^\/dev\/(null|zero|full|random|urandom|tty|console|kvm|fuse|kfd|nvidia.*|dri\/.*)$/;
      expect((read('devices') as string[]).filter((path) => !harmless.test(path))).toEqual([]);
    });
  });

  describe('the kernel’s settings', () => {
    it('are read-only', () => {
      expect(read('/proc/sys is read-only')).toBe(true);
      expect(read('/sys is read-only')).toBe(true);
      expect(read('make a file in /sys')).toBe('EROFS');
    });

    it('core_pattern, sysrq and the like cannot be opened for writing', () => {
      const attempts = Object.entries(results).filter(
        ([name]) => name.startsWith('write /') && name !== 'write /proc/kcore',
      );
      expect(attempts.map(([name]) => name)).toContain('write /proc/sys/kernel/core_pattern');
      for (const [name, outcome] of attempts) {
        expect(outcome, name).toMatch(/^(EROFS|EACCES|EPERM)$/);
      }
    });

    it('the kernel’s memory is an empty device', () => {
      expect(read('kcore is a device')).not.toBe(false);
    });
  });

  describe('mounts, devices and namespaces', () => {
    it.each([
      'mount',
      'umount /proc/sys',
      'umount /dev',
      'remount /proc/sys',
      'remount /sys',
      'pivot_root',
      'mknod of a disk',
      'mknod of memory',
      'open_by_handle_at',
      'interface down',
    ])('refuses %s', (name) => {
      expect(read(name)).toBe('EPERM');
    });

    it.each(['net', 'mnt', 'pid', 'user'])('refuses to enter the %s namespace of process 1', (kind) => {
      expect(read(`enter ${kind} of process 1`)).toMatch(REFUSED);
    });

    if (person === ROOT) {
      it('refuses a network or mount namespace made with its own capabilities', () => {
        expect(read('unshare the network')).toBe('EPERM');
        expect(read('unshare mounts')).toBe('EPERM');
      });
    }

    it.each([
      'umount /proc/sys',
      'umount /dev',
      'umount /etc/resolv.conf',
      'remount /proc/sys',
      'bind / without what lies on it',
      'clone / without what lies on it',
      'a new /proc',
      'a new /sys',
      'a new /dev',
      'mark',
      'raw socket',
      'interface down',
      'memory of process 1',
    ])('refuses even in a user namespace of the command’s own: %s', (name) => {
      expect(read('in a user namespace', name)).toMatch(REFUSED);
    });

    it('an overlay over / is refused, or shows /proc/sys as sealed as before', () => {
      const made = read('in a user namespace', 'overlay over /');
      if (made === 'done') expect(read('in a user namespace', 'core_pattern through the overlay')).not.toBe('done');
      else expect(made).toMatch(REFUSED);
    });

    it('a PID namespace gives no fresh /proc, whose settings root’s user id could write', () => {
      expect(read('in a PID namespace', 'made')).toBe('done');
      expect(read('in a PID namespace', 'a new /proc')).toMatch(REFUSED);
    });

    it('a network namespace of the command’s own leads nowhere', () => {
      expect(read('in a network namespace')).toEqual({ made: 'done', connect: 'ENETUNREACH' });
    });

    it('the tools of the packet filter are refused', () => {
      const statuses = Object.values(read('packet filter') as Record<string, number>);
      expect(statuses.length).toBeGreaterThan(0);
      expect(statuses).not.toContain(0);
    });
  });

  describe('the first process of the box', () => {
    it.each([
      'ptrace of process 1',
      'memory of process 1',
      'root of process 1',
      'working directory of process 1',
      'environment of process 1',
      'a descriptor of process 1',
      'read memory of process 1',
      ...Array.from({ length: 8 }, (_, fd) => `descriptor ${fd} of process 1`),
    ])('refuses the command: %s', (name) => {
      expect(read(name)).toMatch(/^(EPERM|EACCES)$/);
    });

    it('outlives every signal, and opens no debugger', () => {
      const signals = read('signals to process 1') as Record<string, string>;
      expect(Object.keys(signals).length).toBe(33);
      expect(read('process 1 lives')).toBe(true);
      for (const port of [9229, 9230]) {
        for (const address of ['127.0.0.1', '::1']) expect(read(`debugger ${address} ${port}`)).not.toBe('done');
      }
      expect(exitCode).toBe(0);
    });

    it('its listeners are no servers of the command', () => {
      expect(read('listeners')).toBeGreaterThan(0);
      for (const outcome of Object.values(read('connect to listeners') as Record<string, string>)) {
        expect(outcome).toMatch(/^(timed out|ECONNREFUSED|ECONNRESET|ENETUNREACH)$/);
      }
    });
  });

  describe('sockets and calls that no packet filter sees', () => {
    it.each(['vsock', 'packet', 'packet of a user', 'kernel crypto', 'bluetooth', 'xdp', 'tipc'])(
      'no %s socket',
      (name) => {
        expect(read(`socket: ${name}`)).toBe('EAFNOSUPPORT');
      },
    );

    it.each(['raw', 'raw IPv6'])('no %s socket', (name) => {
      expect(read(`socket: ${name}`)).toBe('EPERM');
    });

    it.each([
      ['SO_MARK', 'EPERM'],
      ['IP_TRANSPARENT', 'EPERM'],
      ['io_uring', 'ENOSYS'],
      ['TIOCSTI', 'EPERM'],
      ['TIOCLINUX', 'EPERM'],
    ])('%s gives %s', (name, error) => {
      expect(read(name)).toBe(error);
    });

    it('32-bit calls are held to the same', (context) => {
      const calls = read('32-bit calls') as Record<string, unknown> | undefined;
      if (process.arch !== 'x64') context.skip('this kernel is not for x86-64');
      if (calls?.['signal'] === 11) context.skip('this kernel has no 32-bit calls');
      expect(calls).toEqual({
        vsock: 'EAFNOSUPPORT',
        packet: 'EAFNOSUPPORT',
        socketcall: 'ENOSYS',
        io_uring: 'ENOSYS',
        TCP: 'done',
      });
      expect(read('x32 call')).toBe('ENOSYS');
    });
  });

  describe('programs with rights of their own', () => {
    const needsRoot = 'skipped, because only root can make such a program';

    it('a set-uid program of root’s gets no more than the command may have', (context) => {
      if (!isRoot) context.skip(needsRoot);
      const [uids, permitted, effective] =
        /\[(.*)\]/
          .exec(String(read('setuid')))?.[1]
          ?.replaceAll("'", '')
          .split(', ') ?? [];
      expect(uids).toBeDefined();
      const bounding = BigInt(`0x${String(read('capabilities', 'CapBnd'))}`);
      for (const set of [permitted, effective]) expect(BigInt(`0x${set ?? 'f'.repeat(16)}`) & ~bounding).toBe(0n);
    });

    it('a program with file capabilities beyond those does not get them', (context) => {
      if (!isRoot) context.skip(needsRoot);
      const said = String(read('filecaps'));
      // as the effective bit is set the kernel refuses to start it; in a user namespace it does not count at all
      if (said !== 'EPERM') expect(said).toBe("['12345', '0000000000000000', '0000000000000000']");
    });
  });

  it('after all of it the firewall stands: a stranger is denied and recorded', () => {
    expect(read('connect to a stranger')).not.toBe('done');
    const denied = records.filter(({ destination }) => destination.address === '198.18.0.1');
    expect(denied.map(({ verdict, reason, class: kind }) => ({ verdict, reason, kind }))).toContainEqual({
      verdict: 'denied',
      reason: 'no-rule',
      kind: 'tcp',
    });
    expect(records.filter(({ verdict }) => verdict === 'allowed')).toEqual([]);
  });
});

type Results = Readonly<Record<string, unknown>>;

function setFileCapabilities(path: string, hex: string): void {
  const script = `import os,sys; os.setxattr(sys.argv[1], 'security.capability', bytes.fromhex(sys.argv[2]))`;
  expect(spawnSync(PYTHON, ['-c', script, path, hex]).status).toBe(0);
}

// ── what stays on the host ───────────────────────────────────────────────────────────────────────────────────────

/** Prints the names of its namespaces and waits; leaves a process behind that no signal of the terminal reaches. */
const WAITING = `setsid sleep 300 & for kind in net mnt pid user; do readlink /proc/self/ns/$kind; done; echo up; `;

function processesIn(folder: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => readLink(`/proc/${pid}/cwd`)?.startsWith(folder) === true);
}

/** Processes that are in one of these namespaces, or hold one open. What has ended and waits for its parent holds nothing. */
function holdersOf(namespaces: readonly string[]): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && !hasEnded(name))
    .flatMap((pid) => [
      ...['net', 'mnt', 'pid', 'pid_for_children', 'user'].map((kind) => `/proc/${pid}/ns/${kind}`),
      ...listFolder(`/proc/${pid}/fd`).map((fd) => `/proc/${pid}/fd/${fd}`),
    ])
    .filter((path) => namespaces.includes(readLink(path) ?? ''));
}

function hasEnded(pid: string): boolean {
  try {
    return /^\d+ \(.*\) [ZX] /s.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return true;
  }
}

function readLink(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}

function listFolder(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

/** What of the host the box must leave as it was. */
function hostState(): { readonly mounts: string[]; readonly rules: string; readonly links: string } {
  const said = (name: string, ...args: string[]): string =>
    spawnSync(findProgram(name) ?? name, args).stdout.toString();
  return {
    // other mounts may come and go meanwhile: those that are ours say so
    mounts: readFileSync('/proc/self/mountinfo', 'utf8')
      .split('\n')
      .filter((line) => line.includes('sallyport')),
    rules: said('nft', 'list', 'tables'),
    links: said('ip', 'rule') + said('ip', 'route', 'show', 'table', 'all', 'type', 'local', 'default'),
  };
}

function childOf(pid: number): number {
  const [first] = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ');
  return Number(first);
}

describe.each(PEOPLE)('what stays on the host, as $name', (person) => {
  const lack = whyNot(person);
  let workspace: Workspace;
  let before: ReturnType<typeof hostState>;

  beforeEach((context) => {
    if (lack !== undefined) context.skip(lack);
    workspace = makeWorkspace(person);
    before = hostState();
    return () => {
      for (const pid of processesIn(workspace.path)) process.kill(pid, 'SIGKILL');
      workspace.close();
    };
  });

  async function startBox(
    person: Person,
    script: string,
  ): Promise<{ child: ChildProcess; namespaces: string[]; ended: ReturnType<typeof finish> }> {
    const child = startSallyport(person, [...QUIETLY, '--', 'sh', '-c', script], { cwd: workspace.path });
    let said = '';
    child.stdout?.on('data', (chunk: Buffer) => (said += chunk.toString()));
    const ended = finish(child);
    await waitUntil('the command is up', () => said.includes('up\n'));
    const namespaces = said.split('\n').filter((line) => line.includes(':['));
    expect(namespaces).toHaveLength(4);
    // root's box is in the host's own user namespace
    const own = new Set(['net', 'mnt', 'pid', 'user'].map((kind) => readlinkSync(`/proc/self/ns/${kind}`)));
    return { child, ended, namespaces: namespaces.filter((name) => !own.has(name)) };
  }

  async function expectNothingLeft(namespaces: readonly string[]): Promise<void> {
    await waitUntil(`no process is left in ${workspace.path}`, () => processesIn(workspace.path).length === 0);
    await waitUntil('nobody holds its namespaces', () => holdersOf(namespaces).length === 0);
    expect(hostState()).toEqual(before);
  }

  it('nothing after the command’s own end, though it left a process running', async () => {
    const { ended, namespaces } = await startBox(person, `${WAITING} sleep 0.2; exit 5`);
    expect((await ended).code).toBe(5);
    await expectNothingLeft(namespaces);
  });

  it('nothing after SIGKILL of sallyport', async () => {
    const { child, ended, namespaces } = await startBox(person, `${WAITING} wait`);
    expect(holdersOf(namespaces).length).toBeGreaterThan(3);
    child.kill('SIGKILL');
    expect((await ended).signal).toBe('SIGKILL');
    await expectNothingLeft(namespaces);
  });

  it.each([
    ['what holds the namespaces', 1],
    ['the first process of the box', 2],
  ])('nothing after SIGKILL of %s, and the failure is said', async (_what, depth) => {
    const { child, ended, namespaces } = await startBox(person, `${WAITING} wait`);
    let pid = child.pid ?? 0;
    for (let level = 0; level < depth; level += 1) pid = childOf(pid);
    process.kill(pid, 'SIGKILL');
    const { code, stderr } = await ended;
    expect(code).toBe(70);
    expect(stderr).toMatch(/^sallyport: the box ended before its command did/m);
    await expectNothingLeft(namespaces);
  });

  it('nothing after SIGKILL at any moment of the start', async () => {
    for (const delayMs of [60, 120, 180, 240, 300, 400]) {
      const child = startSallyport(person, [...QUIETLY, '--', 'sleep', '300'], { cwd: workspace.path });
      const ended = finish(child);
      await new Promise((resolve) => setTimeout(resolve, delayMs));
      child.kill('SIGKILL');
      await ended;
    }
    await expectNothingLeft([]);
    expect(existsSync(workspace.path)).toBe(true);
  });
});
