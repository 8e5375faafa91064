/** Whatever ends the firewall, its box or its command: the command's processes end too, and nothing is left on the host. */
import { once } from 'node:events';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { asUser, makeFolder, PROGRAM, USERS, userEnvironment, writePolicy, type User } from './box.ts';
import { ADDRESSES, PORTS } from './network.ts';
import { capture, start, until, type Running } from './processes.ts';
import { useNetwork } from './suite.ts';

const { origin, attacker } = ADDRESSES;
const POLICY = `default: Deny\nallow:\n- tcp: {cidrs: ["${origin[4]}"], ports: [${PORTS.echo}]}`;

/** Leaves daemons behind in every way there is, holds a connection open, and goes on trying another. */
const COMMAND = `
import os, signal, socket, subprocess, time
subprocess.Popen(['sleep', '300'])
subprocess.Popen(['setsid', 'nohup', 'sleep', '300'], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
subprocess.Popen(['unshare', '-Ur', 'sleep', '300'])
if os.fork() == 0:
    os.setsid()
    for name in ('HUP', 'TERM', 'INT', 'PIPE'): signal.signal(getattr(signal, 'SIG' + name), signal.SIG_IGN)
    while True:
        time.sleep(0.02)
        try:
            with socket.create_connection(('${attacker[4]}', ${PORTS.echo}), 0.2) as s: s.send(b'\\1after\\n')
        except OSError: pass
held = socket.create_connection(('${origin[4]}', ${PORTS.echo}))
held.send(b'\\1held\\n'); held.recv(9)
print('ready', flush=True)
time.sleep(300)
`;

const network = useNetwork();

interface Started {
  readonly running: Running;
  /** The firewall's own process, and the first one of the box, as the host sees them. */
  readonly engine: number;
  readonly init: number;
  /** Inodes of the box's namespaces. */
  readonly namespaces: readonly string[];
}

async function startBox(user: User): Promise<Started> {
  const folder = makeFolder(network(), user, 'left');
  const args = ['run', '--policy', writePolicy(folder, POLICY), '--log', join(folder, 'log'), '--summary', 'never'];
  const argv = asUser(network(), user, folder, userEnvironment(folder), [...PROGRAM, ...args, '--', 'python3', '-c', COMMAND]);
  const running = start(argv, { streams: 'pipe' });
  let said = '';
  running.child.stdout?.on('data', (chunk: Buffer) => (said += chunk.toString()));
  await until('the command', () => {
    if (running.ended()) throw new Error(running.said());
    return said.includes('ready') ? true : undefined;
  });
  const engine = running.pid;
  const below = descendants(engine);
  const init = below.find((pid) => /^NSpid:\s+\d+(\s+\d+)*\s+1$/m.test(statusOf(pid)));
  if (init === undefined) throw new Error('the box has no first process');
  const namespaces = ['net', 'mnt', 'pid_for_children'].map((kind) => readlinkSync(`/proc/${init}/ns/${kind}`));
  expect(holders(namespaces).length).toBeGreaterThan(5);
  return { running, engine, init, namespaces };
} // prettier-ignore

const statusOf = (pid: number): string => {
  try {
    return readFileSync(`/proc/${pid}/status`, 'utf8');
  } catch {
    return '';
  }
};

function processes(): readonly number[] {
  return readdirSync('/proc').filter((name) => /^\d+$/.test(name)).map(Number); // prettier-ignore
}

function descendants(root: number): readonly number[] {
  const children = processes().filter((pid) => new RegExp(`^PPid:\\s+${root}$`, 'm').test(statusOf(pid)));
  return children.flatMap((pid) => [pid, ...descendants(pid)]);
}

/** Processes that live in one of these namespaces, or hold one by a descriptor. */
function holders(namespaces: readonly string[]): readonly number[] {
  const holds = (path: string): boolean => {
    try {
      return namespaces.includes(readlinkSync(path));
    } catch {
      return false;
    }
  };
  return processes().filter((pid) => ['net', 'mnt', 'pid'].some((kind) => holds(`/proc/${pid}/ns/${kind}`)));
}

/** What the host's namespace has of all that a box could leave there. */
async function hostState(): Promise<string> {
  const script = 'nft list ruleset; ip rule; ip -6 rule; ip route show table all | grep -v "^multicast\\|proto kernel"; ip -br link; cat /proc/self/mounts';
  return capture([...network().host.enter, 'sh', '-c', script]);
} // prettier-ignore

async function expectNothingLeft({ namespaces }: Started, before: string): Promise<void> {
  await until('the end of every process of the box', () => (holders(namespaces).length === 0 ? true : undefined));
  expect(await hostState()).toBe(before);
  const echoes = network().echo().filter(({ text }) => text.includes('after')); // prettier-ignore
  expect(echoes).toEqual([]);
}

describe.each(USERS)('as %s', (user) => {
  it('after the end of the command', async () => {
    const before = await hostState();
    const started = await startBox(user);
    // of the descendants of init the command itself is the one that holds the connection: init's first child
    const command = descendants(started.init)[0];
    if (command === undefined) throw new Error('the box has no command');
    process.kill(command, 'SIGTERM');
    const [status] = (await once(started.running.child, 'exit')) as [number | null];
    expect(status).toBe(143);
    await expectNothingLeft(started, before);
  });

  it.each(['SIGTERM', 'SIGKILL'] as const)('after %s of the firewall', async (signal) => {
    const before = await hostState();
    const started = await startBox(user);
    process.kill(started.engine, signal);
    await once(started.running.child, 'exit');
    await expectNothingLeft(started, before);
  });

  it('after SIGKILL of the box’s first process, which is said', async () => {
    const before = await hostState();
    const started = await startBox(user);
    process.kill(started.init, 'SIGKILL');
    const [status] = (await once(started.running.child, 'exit')) as [number | null];
    expect(status).toBe(70);
    expect(started.running.said()).toMatch(/^sallyport: the box ended before its command did/m);
    await expectNothingLeft(started, before);
  });

  it('after a SIGSTOP of the firewall nothing gets past it', async () => {
    const before = await hostState();
    const started = await startBox(user);
    process.kill(started.engine, 'SIGSTOP');
    const arrived = await network().packets();
    await new Promise((resolve) => setTimeout(resolve, 500));
    const key = `${attacker[4]} tcp ${PORTS.echo}`;
    expect((await network().packets()).get(key)).toBe(arrived.get(key));
    process.kill(started.engine, 'SIGKILL');
    await once(started.running.child, 'exit');
    await expectNothingLeft(started, before);
  });
});
