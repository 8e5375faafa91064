/**
 * What the command sees of the file system: the host's, less what would be a way out that no packet filter sees
 * (sockets of daemons, raw devices, kernel settings). All of it in the box's own mount namespace.
 */
import {
  closeSync,
  fstatSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readlinkSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { isatty } from 'node:tty';
import { attachMount, cloneMount, makeReadOnly, mountAt, MS, SyscallError } from '../platform/io/libc.ts';
import { SallyportError } from '../platform/pure/errors.ts';

/** Device nodes that a command may have: they reach no disk, no memory and no network. */
const DEVICES = [
  'null',
  'zero',
  'full',
  'random',
  'urandom',
  'tty',
  'kvm',
  'fuse',
  'kfd',
  'nvidiactl',
  'nvidia-uvm',
  'nvidia-uvm-tools',
  'nvidia-modeset',
];
const DEVICE_PATTERN = /^nvidia\d+$/;
/** Mounts and folders beneath /dev that stay: shared memory, message queues, rendering. */
const DEVICE_FOLDERS = ['shm', 'mqueue', 'hugepages', 'dri'];

/** Beneath a fresh /proc: what root could change of the host, or read of its memory. */
const PROC_READ_ONLY = ['sys', 'sysrq-trigger', 'bus', 'fs', 'irq', 'acpi', 'scsi', 'mtrr', 'driver', 'tty'];
const PROC_HIDDEN = [
  'kcore',
  'keys',
  'kmsg',
  'latency_stats',
  'timer_list',
  'sched_debug',
  'vmcore',
  'kpagecount',
  'kpageflags',
  'kpagecgroup',
];

export function mountProc(): void {
  mountAt('proc', '/proc', 'proc', MS.NOSUID | MS.NODEV | MS.NOEXEC, null);
}

/** To be called last of what needs /proc/sys. */
export function sealKernelFiles(): void {
  for (const name of PROC_READ_ONLY) {
    const path = `/proc/${name}`;
    if (!exists(path)) continue;
    mountAt(path, path, null, MS.BIND | MS.REC, null);
    makeReadOnly(path);
  }
  for (const name of PROC_HIDDEN) {
    if (exists(`/proc/${name}`)) mountAt('/dev/null', `/proc/${name}`, null, MS.BIND, null);
  }
  makeReadOnly('/sys');
}

/**
 * A /dev of the box's own with the nodes of the lists above, each bound from the host's. Pseudo-terminals are the box's
 * own too: root could read what is typed into the host's. The one that is a stream of the command is /dev/console, where
 * ttyname(3) finds it. `streams`: descriptors of the command's standard streams.
 */
export function mountDevices(streams: readonly number[]): void {
  const names = readdirSync('/dev').filter((name) => DEVICES.includes(name) || DEVICE_PATTERN.test(name));
  const folders = DEVICE_FOLDERS.filter((name) => exists(`/dev/${name}`));
  const links = ['fd', 'stdin', 'stdout', 'stderr', 'core'].filter((name) => isLink(`/dev/${name}`));
  const targets = links.map((name) => readlinkSync(`/dev/${name}`));
  const terminal = findTerminal(streams);
  const clones = [...names, ...folders].map((name) => ({ name, fd: cloneMount(`/dev/${name}`) }));
  if (terminal !== undefined) clones.push({ name: 'console', fd: cloneMount(terminal) });
  mountAt('sallyport', '/dev', 'tmpfs', MS.NOSUID | MS.NOEXEC, 'mode=0755,size=64k');
  for (const { name, fd } of clones) {
    if (folders.includes(name)) mkdirSync(`/dev/${name}`);
    else writeFileSync(`/dev/${name}`, '');
    attachMount(fd, `/dev/${name}`);
    closeSync(fd);
  }
  links.forEach((name, index) => {
    symlinkSync(targets[index] ?? '', `/dev/${name}`);
  });
  mkdirSync('/dev/pts');
  mountAt('devpts', '/dev/pts', 'devpts', MS.NOSUID | MS.NOEXEC, 'newinstance,ptmxmode=0666,mode=0600');
  symlinkSync('pts/ptmx', '/dev/ptmx');
}

/** The path of the terminal that is one of these descriptors, if it is one of this file system. */
function findTerminal(descriptors: readonly number[]): string | undefined {
  for (const fd of descriptors.filter((fd) => isatty(fd))) {
    const path = readlinkSync(`/proc/self/fd/${fd}`);
    const there = lstatSync(path, { throwIfNoEntry: false });
    const open = fstatSync(fd);
    if (there?.dev === open.dev && there.ino === open.ino) return path;
  }
  return undefined;
}

/** An empty folder over each folder of sockets, an empty file over each socket. What is not there is left out. */
export function hideSockets(folders: readonly string[], sockets: readonly string[]): void {
  for (const folder of folders) {
    attempt(() => {
      mountAt('sallyport', folder, 'tmpfs', MS.NOSUID | MS.NODEV | MS.NOEXEC, 'mode=0755,size=1m');
    });
  }
  for (const socket of sockets) {
    attempt(() => {
      // /dev/null is no socket: connect() says ECONNREFUSED
      mountAt('/dev/null', socket, null, MS.BIND, null);
    });
  }
}

/** Puts our resolv.conf over the host's. `path` has no symbolic link left in it. */
export function mountResolvConf(path: string, text: string): void {
  const own = '/dev/.sallyport-resolv.conf';
  writeFileSync(own, text, { mode: 0o644 });
  mountAt(own, path, null, MS.BIND, null);
  makeReadOnly(path);
  unlinkSync(own);
}

/**
 * The working directory by its path again, where it lies in one of the `masked` folders. It is a place in a mount and no
 * path: it would stay what the mask hides, and every relative path would lead there.
 */
export function enterAgain(path: string, masked: readonly string[]): void {
  if (!masked.some((folder) => path === folder || path.startsWith(`${folder}/`))) return;
  try {
    process.chdir(path);
  } catch (error) {
    throw new SallyportError(
      'usage',
      `the working directory ${path} is hidden from the command`,
      'Start it from another folder.',
      error,
    );
  }
}

/** A path that vanished since it was listed hides itself; every other failure is one of ours. */
function attempt(mount: () => void): void {
  try {
    mount();
  } catch (error) {
    if (error instanceof SyscallError && ['ENOENT', 'ENOTDIR'].includes(error.code)) return;
    throw error;
  }
}

function exists(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}

function isLink(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() ?? false;
}
