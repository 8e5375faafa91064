/**
 * Ways out beside the network: sockets of daemons, the kernel's files, devices, namespaces, other processes, and the
 * firewall's own first process. Each is tried by system calls, as root and as an ordinary user.
 */
import { chmodSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { USER_ID, USERS } from './box.ts';
import { lackForNetwork } from './machine.ts';
import { ADDRESSES, PORTS } from './network.ts';
import { capture, start, until, type Running } from './processes.ts';
import { countArrivals, useBox, useNetwork } from './suite.ts';

const { attacker } = ADDRESSES;
const POLICY = `default: Deny`;

/** linux/capability.h: what a command of root's keeps. Written out here once more: a change must be meant. */
const MAY_KEEP = [
  'CHOWN',
  'DAC_OVERRIDE',
  'FOWNER',
  'FSETID',
  'KILL',
  'SETGID',
  'SETUID',
  'SETPCAP',
  'NET_BIND_SERVICE',
  'IPC_LOCK',
  'SYS_CHROOT',
  'SYS_NICE',
  'AUDIT_WRITE',
  'SETFCAP',
];
const CAPABILITIES = ['CHOWN', 'DAC_OVERRIDE', 'DAC_READ_SEARCH', 'FOWNER', 'FSETID', 'KILL', 'SETGID', 'SETUID', 'SETPCAP', 'LINUX_IMMUTABLE', 'NET_BIND_SERVICE',
  'NET_BROADCAST', 'NET_ADMIN', 'NET_RAW', 'IPC_LOCK', 'IPC_OWNER', 'SYS_MODULE', 'SYS_RAWIO', 'SYS_CHROOT', 'SYS_PTRACE', 'SYS_PACCT', 'SYS_ADMIN', 'SYS_BOOT',
  'SYS_NICE', 'SYS_RESOURCE', 'SYS_TIME', 'SYS_TTY_CONFIG', 'MKNOD', 'LEASE', 'AUDIT_WRITE', 'AUDIT_CONTROL', 'SETFCAP', 'MAC_OVERRIDE', 'MAC_ADMIN', 'SYSLOG',
  'WAKE_ALARM', 'BLOCK_SUSPEND', 'AUDIT_READ', 'PERFMON', 'BPF', 'CHECKPOINT_RESTORE']; // prettier-ignore

/** C library calls by name: 'ok' or the name of the error. */
const CALL = `
def call(name, *args):
    function = getattr(libc, name)
    function.restype = ctypes.c_int
    result = function(*[ctypes.c_long(arg) if isinstance(arg, int) else arg for arg in args])
    return 'ok' if result >= 0 else errno.errorcode[ctypes.get_errno()]
NEWNS, NEWNET, NEWPID, NEWIPC = 0x20000, 0x40000000, 0x20000000, 0x08000000
`;

const network = useNetwork();

describe.each(USERS)('as %s', (user) => {
  let daemons: Running | undefined;
  let log = '';
  const place = (name: string): string => join(network().folder, `daemons-${user}`, name);
  const hidden = [
    '/run/docker.sock',
    '/run/docker/plugin.sock',
    '/run/containerd/containerd.sock',
    '/run/dbus/system_bus_socket',
    `/run/user/${USER_ID}/bus`,
    '/run/of-no-list/daemon.sock',
    'agent',
    'elsewhere.sock',
  ];
  const pathOf = (name: string): string => (name.startsWith('/') ? name : place(name));
  const serve = async (paths: readonly string[]): Promise<void> => {
    const before = existsSync(log) ? readFileSync(log, 'utf8').split('ready').length : 1;
    daemons = start([...network().host.enter, 'python3', new URL('servers/sockets.py', import.meta.url).pathname, log, ...paths]);
    await until('daemons', () => {
      if (daemons?.ended()) throw new Error(daemons.said());
      return existsSync(log) && readFileSync(log, 'utf8').split('ready').length > before ? true : undefined;
    });
  }; // prettier-ignore
  const running: Running[] = [];
  beforeAll(async () => {
    if (lackForNetwork() !== undefined) return;
    mkdirSync(place(''), { recursive: true });
    chmodSync(place(''), 0o755);
    log = place('log');
    const folders = ['/run/docker', '/run/containerd', '/run/dbus', `/run/user/${USER_ID}`, '/run/of-no-list'];
    await capture([...network().host.enter, 'sh', '-c', `mount -t tmpfs none /run && mkdir -p ${folders.join(' ')}`]);
    await serve([...hidden.map(pathOf), place('allowed.sock'), '@abstract']);
    if (daemons !== undefined) running.push(daemons);
  });
  const agent: NodeJS.ProcessEnv = {};
  Object.defineProperty(agent, 'SSH_AUTH_SOCK', { enumerable: true, get: () => place('agent') });
  const args: string[] = [];
  beforeAll(() => {
    if (lackForNetwork() === undefined) args.push('--allow-socket', place('allowed.sock'));
  });
  const box = useBox(network, { user, policy: POLICY, args, env: agent });
  afterAll(() => Promise.all(running.map((server) => server.close())));

  const connect = (path: string): Promise<string> =>
    box().python(`
def act():
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(2)
        s.connect(sys.argv[1].replace('@', '\\0'))
print(attempt(act))
`, path); // prettier-ignore
  const connected = (): readonly string[] => readFileSync(log, 'utf8').split('\n');

  describe('sockets of daemons', () => {
    it.each(hidden)('%s is not there', async (name) => {
      expect(await connect(pathOf(name))).toMatch(/^(ENOENT|ECONNREFUSED|EACCES)$/);
      expect(connected()).not.toContain(pathOf(name));
    });

    it('an abstract one of the host is another namespace’s', async () => {
      expect(await connect('@abstract')).toBe('ECONNREFUSED');
    });

    it('one that starts later in a folder of daemons is not there either', async () => {
      await serve(['/run/docker/late.sock']);
      if (daemons !== undefined) running.push(daemons);
      expect(await connect('/run/docker/late.sock')).toBe('ENOENT');
    });

    it('one that was asked for stays', async () => {
      expect(await connect(place('allowed.sock'))).toBe('ok');
      await until('the connection', () => (connected().includes(place('allowed.sock')) ? true : undefined));
    });

    it('those of the command’s own work', async () => {
      expect(await box().python(`
path = sys.argv[1]
server = socket.socket(socket.AF_UNIX); server.bind(path); server.listen()
client = socket.socket(socket.AF_UNIX); client.connect(path)
a, b = socket.socketpair()
a.send(b'pair'); print(b.recv(9))
`, join(box().folder, 'own.sock'))).toBe(`b'pair'`);
    }); // prettier-ignore
  });

  describe('the kernel’s files', () => {
    it.each([
      '/proc/sys/kernel/core_pattern',
      '/proc/sys/kernel/modprobe',
      '/proc/sys/kernel/hotplug',
      '/proc/sys/fs/binfmt_misc/register',
      '/proc/sys/net/ipv4/ip_forward',
      '/proc/sys/net/ipv4/conf/all/route_localnet',
      '/proc/sys/net/ipv4/ping_group_range',
      '/proc/sysrq-trigger',
      '/sys/kernel/uevent_helper',
      '/sys/kernel/mm/ksm/run',
      '/sys/fs/cgroup/cgroup.procs',
      '/sys/fs/cgroup/cgroup.subtree_control',
      '/sys/module/kernel/parameters/panic',
      '/proc/1/mem',
    ])('%s cannot be opened for writing', async (path) => {
      const said = await box().python(`print(attempt(lambda: os.close(os.open(sys.argv[1], os.O_WRONLY))))`, path);
      expect(said).toMatch(/^(EROFS|EACCES|EPERM|ENOENT)$/);
    });

    it.each(['/proc/kcore', '/proc/kmsg', '/proc/1/mem', '/proc/1/environ', '/proc/1/maps'])('%s tells nothing', async (path) => {
      const said = await box().python(`print(attempt(lambda: os.read(os.open(sys.argv[1], os.O_RDONLY | os.O_NONBLOCK), 10)))`, path);
      expect(said).toMatch(/^(EACCES|EPERM|ENOENT|EIO|ok b'')$/);
    }); // prettier-ignore

    it.each(['root', 'cwd', 'fd/0', 'ns/net', 'ns/mnt', 'ns/user'])('/proc/1/%s leads nowhere', async (name) => {
      const said = await box().python(
        `print(attempt(lambda: os.open(sys.argv[1], os.O_RDONLY)), attempt(lambda: os.listdir(sys.argv[1] + '/')))`,
        `/proc/1/${name}`,
      );
      expect(said).toMatch(/^(EACCES|EPERM|ENOENT) (EACCES|EPERM|ENOENT|ENOTDIR)$/);
    });
  });

  it('there is no device but those of the list', async () => {
    const said = await box().python(`
import stat
found = []
for folder, _, files in os.walk('/dev'):
    if folder.startswith(('/dev/pts', '/dev/shm', '/dev/mqueue', '/dev/hugepages', '/dev/dri')): continue
    for name in files:
        path = os.path.join(folder, name)
        if os.path.islink(path): continue
        mode = os.stat(path).st_mode
        found.append(name if stat.S_ISCHR(mode) else 'not a character device: ' + name)
print(' '.join(sorted(found)))
`);
    const may = /^(null|zero|full|random|urandom|tty|kvm|fuse|kfd|nvidia.*|ptmx|console)$/;
    expect(said.split(' ').filter((name) => !may.test(name))).toEqual([]);
    expect(said.split(' ')).toContain('null');
  });

  it('of its rights root keeps those that undo nothing, and an ordinary user has none', async () => {
    const { stdout } = await box().run('cat /proc/self/status');
    const field = (name: string): bigint =>
      BigInt(`0x${new RegExp(`^${name}:\\s+(\\S+)$`, 'm').exec(stdout)?.[1] ?? 'none'}`);
    const named = (set: bigint): string[] => CAPABILITIES.filter((_, bit) => (set >> BigInt(bit)) % 2n === 1n);
    expect(named(field('CapEff'))).toEqual(user === 'root' ? MAY_KEEP : []);
    expect(named(field('CapPrm'))).toEqual(user === 'root' ? MAY_KEEP : []);
    for (const set of ['CapInh', 'CapAmb']) expect(named(field(set))).toEqual([]);
    const bounding = named(field('CapBnd'));
    expect(bounding.filter((name) => !MAY_KEEP.includes(name))).toEqual([]);
    expect(field('CapBnd') >> BigInt(CAPABILITIES.length)).toBe(0n);
    expect(stdout).toMatch(/^Seccomp:\s+2$/m);
  });

  it('a program with capabilities of its own does not get them', async () => {
    const said = await box().python(`
import shutil, subprocess
copy = sys.argv[1]
shutil.copy('/bin/cat', copy)
os.chmod(copy, 0o4755)
marked = attempt(lambda: os.setxattr(copy, 'security.capability', struct.pack('<IIIII', 0x02000001, 1 << 12 | 1 << 13 | 1 << 21, 0, 0, 0)))
ended = subprocess.run(['sh', '-c', 'exec "$0" /proc/self/status', copy], capture_output=True, text=True)
rights = [line.split()[1] for line in ended.stdout.split('\\n') if line.startswith('CapEff')]
print(marked, int(rights[0], 16) & (1 << 12 | 1 << 13 | 1 << 21) if rights else 'not started')
`, join(box().folder, 'marked'));
    expect(said).toMatch(user === 'root' ? /^ok (0|not started)$/ : /^EPERM (0|not started)$/);
  }); // prettier-ignore

  describe('calls', () => {
    it.each([
      ['a new network namespace', `call('unshare', NEWNET)`],
      ['a new mount namespace', `call('unshare', NEWNS)`],
      ['a mount', `call('mount', b'none', b'/mnt', b'tmpfs', 0, None)`],
      ['a mount by the newer calls', `syscall(430, b'tmpfs', 0)`],
      ['an unmount', `call('umount2', b'/proc/sys', 2)`],
      ['a remount', `call('mount', None, b'/proc/sys', None, 0x1020, None)`],
      ['a change of root', `syscall({'x86_64': 155, 'aarch64': 41}[os.uname().machine], b'/', b'/')`],
      ['the namespace of the first process', `attempt(lambda: call('setns', os.open('/proc/1/ns/net', 0), 0))`],
      ['tracing the first process', `call('ptrace', 16, 1, 0, 0)`],
      ['tracing it without stopping it', `call('ptrace', 0x4206, 1, 0, 0)`],
      ['reading its memory', `call('process_vm_readv', 1, (ctypes.c_long * 2)(id(libc), 1), 1, (ctypes.c_long * 2)(4096, 1), 1, 0)`],
      ['its descriptors', `syscall(438, os.pidfd_open(1), 3, 0)`],
      ['a device node', `attempt(lambda: os.mknod(sys.argv[1] + '/disk', 0o60600, os.makedev(8, 0)))`],
      ['a file by its handle', `call('open_by_handle_at', -100, ctypes.create_string_buffer(b'\\x08\\0\\0\\0\\1\\0\\0\\0' + bytes(8)), 0)`],
      ['a kernel module', `syscall({'x86_64': 313, 'aarch64': 273}[os.uname().machine], 0, b'', 0)`],
      ['a BPF program', `syscall({'x86_64': 321, 'aarch64': 280}[os.uname().machine], 5, ctypes.create_string_buffer(128), 128)`],
      ['a clock', `attempt(lambda: time.clock_settime(time.CLOCK_REALTIME, time.time()))`],
      ['a host name', `attempt(lambda: socket.sethostname('x'))`],
      ['a reboot', `call('reboot', 0x89abcdef)`],
      ['typing into the terminal', `attempt(lambda: fcntl.ioctl(os.openpty()[1], 0x5412, b'x'))`],
    ])('%s is refused', async (_, expression) => {
      expect(await box().python(`${CALL}\nprint(${expression})`, box().folder)).toMatch(/^(EPERM|EACCES|EINVAL|ENOENT|ENOSYS)$/);
    }); // prettier-ignore

    it('signals from inside do not end the first process, nor the firewall', async () => {
      await box().python(`
for name in ('KILL', 'TERM', 'STOP', 'SEGV', 'USR1', 'USR2', 'INT', 'QUIT', 'HUP', 'ABRT', 'ALRM', 'CHLD', 'PIPE'):
    print(attempt(lambda: os.kill(1, getattr(signal, 'SIG' + name))))
`);
      const { stdout } = await box().run('echo alive; ls /proc | grep -c "^[0-9]"');
      expect(stdout).toMatch(/^alive\n\d\n$/); // and it sees nobody else's processes
    });
  });

  describe('a user namespace of its own', () => {
    it.each([
      'unshare -Ur nft flush ruleset',
      'unshare -Ur ip link set lo down',
      'unshare -Ur ip rule del fwmark 0x5a110004',
      'unshare -Ur nsenter -t 1 -n true',
      'unshare -Urm umount -l /proc/sys',
      'unshare -Urm umount -l /run/docker',
      'unshare -Urm umount /run/docker.sock',
      'unshare -Urm umount -l /dev',
      'unshare -Urm umount /etc/resolv.conf',
      'unshare -Urm mount -o remount,rw,bind /proc/sys',
      'unshare -Urm mount -o remount,rw /sys',
      'unshare -Urmpf mount -t proc proc /mnt',
      'unshare -Urmn mount -t sysfs sysfs /mnt',
      `unshare -Urm python3 -c "open('/proc/sys/kernel/core_pattern','a')"`,
      `unshare -Ur python3 -c "import socket; socket.socket().setsockopt(1, 36, 0x5a110001)"`,
      `unshare -Ur python3 -c "import socket; socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)"`,
      `unshare -Ur python3 -c "import os; os.mknod('d', 0o60600, os.makedev(8, 0))"`,
    ])('%s fails', async (command) => {
      const { status, stderr } = await box().run(command);
      expect(status).not.toBe(0);
      expect(stderr).toMatch(/not permitted|denied|Read-only|Invalid argument|must be superuser|not mounted|No such file/i);
    }); // prettier-ignore

    it('with a network of its own reaches nothing', async () => {
      const arrived = await countArrivals(network(), `${attacker[4]} tcp ${PORTS.echo}`);
      const { status } = await box().run(
        `unshare -Urn sh -c 'ip link set lo up; ip route add default dev lo; python3 -c "import socket; socket.create_connection((\\"${attacker[4]}\\", ${PORTS.echo}), 1)"'`,
      );
      expect(status).not.toBe(0);
      expect(await arrived()).toBe(0);
    });
  });
});
