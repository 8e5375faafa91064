"""Run as the command of a box: tries ways out that lead past the network, and says how each ended, as one JSON object.

Input: a JSON object as the first argument: `sockets` (paths, or names after an @ for abstract ones), `setuid` (a
set-uid copy of Python, if there is one) and `filecaps` (one with file capabilities). Each result is 'done' or the name
of the error. No attempt does harm where it succeeds: files are opened for writing, not written.
"""
import ctypes
import errno
import fcntl
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time

plan = json.loads(sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)
results = {}


def call(number, *args):
    # the seventh argument of syscall() lies on the stack, where a C int would leave its upper half to chance
    result = libc.syscall(number, *(ctypes.c_long(arg) if isinstance(arg, int) else arg for arg in args))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def check(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def outcome(attempt):
    try:
        attempt()
        return 'done'
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error))


def attempt(name, action):
    results[name] = outcome(action)


def connect_unix(path):
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(2)
    client.connect('\0' + path[1:] if path.startswith('@') else path)
    client.sendall(b'hello')
    client.close()


def open_for_writing(path):
    os.close(os.open(path, os.O_WRONLY))


def capabilities():
    with open('/proc/self/status') as status:
        return {line[:6]: line.split()[1] for line in status if line.startswith('Cap')}


def mount(source, target, kind, flags, data=None):
    encode = lambda text: None if text is None else text.encode()
    check(libc.mount(encode(source), encode(target), encode(kind), flags, encode(data)))


def umount(target):
    check(libc.umount2(target.encode(), 2))  # MNT_DETACH


MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC = 1, 32, 4096, 16384
X64 = os.uname().machine == 'x86_64'
# asm/unistd_64.h; arm64 has the generic numbers
PTRACE, PROCESS_VM_READV, PIVOT_ROOT, OPEN_BY_HANDLE_AT = (101, 310, 155, 304) if X64 else (117, 270, 41, 265)
UNSHARE, SETNS, IO_URING_SETUP, PIDFD_OPEN, PIDFD_GETFD, OPEN_TREE = (272, 308, 425, 434, 438, 428) if X64 else (97, 268, 425, 434, 438, 428)
NEWNS, NEWUSER, NEWPID, NEWNET = 0x20000, 0x10000000, 0x20000000, 0x40000000

# ── what the command starts with ────────────────────────────────────────────────────────────────────────────────────
results['capabilities'] = capabilities()
results['descriptors'] = sorted(
    int(number) for number in os.listdir('/proc/self/fd') if os.path.exists('/proc/self/fd/' + number)
)
results['processes'] = sorted(int(name) for name in os.listdir('/proc') if name.isdigit())
results['own process'] = os.getpid()
results['devices'] = sorted(
    path
    for folder, _, names in os.walk('/dev')
    for path in (os.path.join(folder, name) for name in names)
    if not os.path.islink(path) and not re.match(r'/dev/(pts|shm|mqueue|hugepages)/', path)
)
results['block devices'] = [path for path in results['devices'] if stat.S_ISBLK(os.lstat(path).st_mode)]

# ── Unix sockets ────────────────────────────────────────────────────────────────────────────────────────────────────
for path in plan['sockets']:
    attempt('connect ' + path, lambda: connect_unix(path))

# ── kernel settings ─────────────────────────────────────────────────────────────────────────────────────────────────
for path in [
    '/proc/sys/kernel/core_pattern',
    '/proc/sys/kernel/modprobe',
    '/proc/sys/net/ipv4/ip_forward',
    '/proc/sysrq-trigger',
    '/proc/kcore',
    '/sys/kernel/uevent_helper',
    '/sys/kernel/mm/ksm/run',
    '/sys/power/state',
]:
    if os.path.exists(path):
        attempt('write ' + path, lambda: open_for_writing(path))
if os.path.exists('/proc/kcore'):
    results['kcore is a device'] = stat.S_ISCHR(os.stat('/proc/kcore').st_mode)
for path in ['/proc/sys', '/sys']:
    results[path + ' is read-only'] = bool(os.statvfs(path).f_flag & os.ST_RDONLY)


def make_and_remove(make, path, remove):
    make(path)
    remove(path)


folder = '/sys/fs/cgroup/sallyport-test'
attempt('make a file in /sys', lambda: make_and_remove(os.mkdir, folder, os.rmdir))

# ── mounts, devices, namespaces ─────────────────────────────────────────────────────────────────────────────────────
attempt('mount', lambda: mount('none', '/mnt', 'tmpfs', 0))
attempt('umount /proc/sys', lambda: umount('/proc/sys'))
attempt('umount /dev', lambda: umount('/dev'))
attempt('remount /proc/sys', lambda: mount(None, '/proc/sys', None, MS_REMOUNT | MS_BIND))
attempt('remount /sys', lambda: mount(None, '/sys', None, MS_REMOUNT | MS_BIND))
attempt('pivot_root', lambda: call(PIVOT_ROOT, b'/', b'/'))


def make_node(kind, major, minor):
    make = lambda path: os.mknod(path, kind | 0o600, os.makedev(major, minor))
    make_and_remove(make, 'sallyport-test-node', os.unlink)


attempt('mknod of a disk', lambda: make_node(stat.S_IFBLK, 254, 0))
attempt('mknod of memory', lambda: make_node(stat.S_IFCHR, 1, 1))
attempt('open_by_handle_at', lambda: call(OPEN_BY_HANDLE_AT, os.open('/', os.O_RDONLY), ctypes.create_string_buffer(b'\x08\0\0\0\x01\0\0\0\x02\0\0\0\0\0\0\0'), os.O_RDONLY))
for kind in ['net', 'mnt', 'pid', 'user']:
    attempt('enter %s of process 1' % kind, lambda: call(SETNS, os.open('/proc/1/ns/' + kind, os.O_RDONLY), 0))
if os.geteuid() == 0:
    attempt('unshare the network', lambda: call(UNSHARE, NEWNET))
    attempt('unshare mounts', lambda: call(UNSHARE, NEWNS))


def in_child(action):
    """What `action` returns, from a process of its own."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        try:
            answer = action()
        except BaseException as error:
            answer = {'error': repr(error)}
        os.write(writer, json.dumps(answer).encode())
        os._exit(0)
    os.close(writer)
    text = b''
    while chunk := os.read(reader, 65536):
        text += chunk
    _, status = os.waitpid(child, 0)
    return json.loads(text) if text else {'signal': os.WTERMSIG(status)}


def in_user_namespace():
    uid, gid = os.geteuid(), os.getegid()
    found = {}
    found['made'] = outcome(lambda: call(UNSHARE, NEWUSER | NEWNS))
    if found['made'] != 'done':
        return found
    with open('/proc/self/setgroups', 'w') as setgroups:
        setgroups.write('deny')
    with open('/proc/self/uid_map', 'w') as uids:
        uids.write('0 %d 1' % uid)
    with open('/proc/self/gid_map', 'w') as gids:
        gids.write('0 %d 1' % gid)
    found['capabilities'] = capabilities()['CapEff']
    hidden = next((path for path in plan['sockets'] if path.startswith('/run/')), None)
    found['umount /proc/sys'] = outcome(lambda: umount('/proc/sys'))
    found['umount /dev'] = outcome(lambda: umount('/dev'))
    found['umount /etc/resolv.conf'] = outcome(lambda: umount(os.path.realpath('/etc/resolv.conf')))
    found['remount /proc/sys'] = outcome(lambda: mount(None, '/proc/sys', None, MS_REMOUNT | MS_BIND))
    found['bind / without what lies on it'] = outcome(lambda: mount('/', '/mnt', None, MS_BIND))
    found['clone / without what lies on it'] = outcome(lambda: os.close(call(OPEN_TREE, -100, b'/', 1)))
    found['a new /proc'] = outcome(lambda: mount('proc', '/mnt', 'proc', 0))
    found['a new /sys'] = outcome(lambda: mount('sysfs', '/mnt', 'sysfs', 0))
    found['a new /dev'] = outcome(lambda: mount('devtmpfs', '/mnt', 'devtmpfs', 0))
    mount('none', '/mnt', 'tmpfs', 0)
    for name in ['upper', 'work', 'merged', 'all']:
        os.mkdir('/mnt/' + name)
    found['overlay over /'] = outcome(
        lambda: mount('overlay', '/mnt/merged', 'overlay', 0, 'lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work')
    )
    if found['overlay over /'] == 'done':
        found['core_pattern through the overlay'] = outcome(lambda: open_for_writing('/mnt/merged/proc/sys/kernel/core_pattern'))
    found['bind / with all'] = outcome(lambda: mount('/', '/mnt/all', None, MS_BIND | MS_REC))
    if hidden is not None:
        found['umount the socket'] = outcome(lambda: umount(hidden))
        found['connect the socket'] = outcome(lambda: connect_unix(hidden))
        found['umount the socket in the copy'] = outcome(lambda: umount('/mnt/all' + hidden))
        found['connect the socket in the copy'] = outcome(lambda: connect_unix('/mnt/all' + hidden))
        found['connect the socket through the overlay'] = outcome(lambda: connect_unix('/mnt/merged' + hidden))
    found['mark'] = outcome(lambda: socket.socket().setsockopt(1, 36, 0x5A110001))
    found['raw socket'] = outcome(lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1))
    found['interface down'] = outcome(interface_down)
    found['memory of process 1'] = outcome(lambda: open('/proc/1/mem', 'rb'))
    return found


def interface_down():
    probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    fcntl.ioctl(probe, 0x8914, b'lo'.ljust(16, b'\0') + b'\0' * 24)  # SIOCSIFFLAGS


results['in a user namespace'] = in_child(in_user_namespace)
attempt('interface down', interface_down)


def in_network_namespace():
    made = outcome(lambda: call(UNSHARE, NEWUSER | NEWNET))
    if made != 'done':
        return {'made': made}
    return {'made': made, 'connect': outcome(lambda: socket.create_connection(('198.18.0.1', 9), 2))}


def in_pid_namespace():
    """Root's user id is what opens most of /proc/sys, capabilities or not: a fresh /proc would be enough."""
    made = outcome(lambda: call(UNSHARE, NEWUSER | NEWNS | NEWPID))
    if made != 'done':
        return {'made': made}

    def look():
        found = {'a new /proc': outcome(lambda: mount('proc', '/mnt', 'proc', 0))}
        if found['a new /proc'] == 'done':
            found['core_pattern'] = outcome(lambda: open_for_writing('/mnt/sys/kernel/core_pattern'))
        return found

    return {'made': made, **in_child(look)}


results['in a PID namespace'] = in_child(in_pid_namespace)
results['in a network namespace'] = in_child(in_network_namespace)

# ── the first process of the box ────────────────────────────────────────────────────────────────────────────────────
attempt('ptrace of process 1', lambda: call(PTRACE, 0x4206, 1, 0, 0))  # PTRACE_SEIZE
attempt('memory of process 1', lambda: open('/proc/1/mem', 'r+b'))
for number in range(8):
    attempt('descriptor %d of process 1' % number, lambda: os.readlink('/proc/1/fd/%d' % number))
attempt('root of process 1', lambda: os.listdir('/proc/1/root/'))
attempt('working directory of process 1', lambda: os.listdir('/proc/1/cwd/'))
attempt('environment of process 1', lambda: open('/proc/1/environ', 'rb').read(1))


def take_descriptor():
    process = call(PIDFD_OPEN, 1, 0)
    call(PIDFD_GETFD, process, 3, 0)


def read_memory():
    local = ctypes.create_string_buffer(8)
    iovec = (ctypes.c_size_t * 2)(ctypes.addressof(local), 8)
    remote = (ctypes.c_size_t * 2)(0x10000, 8)
    call(PROCESS_VM_READV, 1, iovec, 1, remote, 1, 0)


attempt('a descriptor of process 1', take_descriptor)
attempt('read memory of process 1', read_memory)
results['signals to process 1'] = {}
for number in list(range(1, 32)) + [signal.SIGRTMIN, signal.SIGRTMAX]:
    results['signals to process 1'][str(int(number))] = outcome(lambda: os.kill(1, number))
time.sleep(0.5)  # a debugger would be open by now
results['process 1 lives'] = os.path.exists('/proc/1/stat') and open('/proc/1/stat').read().split(') ')[1][0] in 'SRD'
for port in [9229, 9230]:
    for address in ['127.0.0.1', '::1']:
        attempt('debugger %s %d' % (address, port), lambda: socket.create_connection((address, port), 1))


def listening():
    found = []
    for path in ['/proc/net/tcp', '/proc/net/tcp6']:
        if os.path.exists(path):
            with open(path) as table:
                for line in table.readlines()[1:]:
                    fields = line.split()
                    if fields[3] == '0A':
                        found.append([':' in fields[1] and len(fields[1]) > 20, int(fields[1].split(':')[1], 16)])
    return found


results['listeners'] = len(listening())
results['connect to listeners'] = {
    '%s %d' % (v6, port): outcome(lambda: socket.create_connection(('::1' if v6 else '127.0.0.1', port), 1))
    for v6, port in listening()
}

# ── sockets that no packet filter sees, marks, system calls ─────────────────────────────────────────────────────────
for name, family, kind, protocol in [
    ('vsock', 40, 1, 0),
    ('packet', 17, 3, 0x300),
    ('packet of a user', 17, 2, 0),
    ('kernel crypto', 38, 5, 0),
    ('bluetooth', 31, 3, 0),
    ('xdp', 44, 3, 0),
    ('tipc', 30, 1, 0),
    ('raw', 2, 3, 1),
    ('raw IPv6', 10, 3, 58),
]:
    attempt('socket: ' + name, lambda: socket.socket(family, kind, protocol))
attempt('SO_MARK', lambda: socket.socket().setsockopt(1, 36, 0x5A110001))
attempt('IP_TRANSPARENT', lambda: socket.socket().setsockopt(0, 19, 1))
attempt('io_uring', lambda: call(IO_URING_SETUP, 8, ctypes.create_string_buffer(120)))
controller, terminal = os.openpty()
attempt('TIOCSTI', lambda: fcntl.ioctl(terminal, 0x5412, b'x'))
attempt('TIOCLINUX', lambda: fcntl.ioctl(terminal, 0x541C, b'\x03'))
results['packet filter'] = {
    program[0]: subprocess.run(program, capture_output=True).returncode
    for program in [['nft', 'list', 'ruleset'], ['nft', 'flush', 'ruleset'], ['iptables', '-F'], ['ip', 'route', 'flush', 'table', 'all']]
    if any(os.path.exists(folder + '/' + program[0]) for folder in ['/usr/sbin', '/sbin', '/usr/bin'])
}


def by_int80():
    """socket(family, type, 0) by the 32-bit entry: eax, ebx, ecx, edx from the C arguments."""
    import mmap

    code = bytes.fromhex('53 89f8 89f3 4189c8 89d1 4489c2 cd80 5b c3')
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(code)
    function = ctypes.CFUNCTYPE(ctypes.c_int, *[ctypes.c_int] * 4)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
    name = lambda result: 'done' if result >= 0 else errno.errorcode.get(-result, str(result))
    return {
        'vsock': name(function(359, 40, 1, 0)),
        'packet': name(function(359, 17, 3, 0)),
        'socketcall': name(function(102, 1, 0, 0)),
        'io_uring': name(function(425, 8, 0, 0)),
        'TCP': name(function(359, 2, 1, 0)),
    }


if X64:
    results['32-bit calls'] = in_child(by_int80)
    attempt('x32 call', lambda: call(0x40000000 + 41, 40, 1, 0))

# ── programs that would give rights back ────────────────────────────────────────────────────────────────────────────
SHOW = 'print([l.split()[1] for l in open("/proc/self/status") if l.startswith(("Uid","CapEff","CapPrm"))])'
# -I: nothing of the environment or the folder of the script is read
for name in ['setuid', 'filecaps']:
    if plan.get(name):
        def start(program=plan[name]):
            run = subprocess.run([program, '-I', '-S', '-c', SHOW], capture_output=True, text=True, user=plan.get('asUser'))
            return run.stdout.strip() or run.stderr.strip()
        try:
            results[name] = start()
        except OSError as error:
            results[name] = errno.errorcode[error.errno]

# ── after all that, the firewall stands ─────────────────────────────────────────────────────────────────────────────
def reach(address):
    with socket.create_connection((address, 9), 5) as client:
        client.sendall(b'x')
        client.recv(1)


attempt('connect to a stranger', lambda: reach('198.18.0.1'))
print(json.dumps(results, indent=1))
