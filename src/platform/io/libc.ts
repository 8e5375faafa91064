/**
 * The few system calls that Node does not offer, by koffi: raw sockets and their options, descriptors passed over a
 * socket, mounts, capabilities, seccomp. Linux with 64-bit pointers only. Every failure is a SyscallError.
 * Buffers handed to the kernel by pointer live outside V8's heap (`pinned`), so that a collection cannot move them.
 */
import { getSystemErrorName } from 'node:util';
import koffi from 'koffi';
import { addressFromBytes, addressToBytes, type Address } from '../pure/address.ts';

const lib = koffi.load(null);

type Argument = number | bigint | string | Uint8Array | null;

/** koffi gives numbers where they are exact, as they are for every result used here. */
function declare(prototype: string): (...args: readonly Argument[]) => number {
  return lib.func(prototype);
}

const fn = {
  socket: declare('int socket(int, int, int)'),
  socketpair: declare('int socketpair(int, int, int, void *)'),
  bind: declare('int bind(int, void *, unsigned int)'),
  listen: declare('int listen(int, int)'),
  close: declare('int close(int)'),
  setsockopt: declare('int setsockopt(int, int, int, void *, unsigned int)'),
  getsockname: declare('int getsockname(int, void *, void *)'),
  recvmsg: declare('int64 recvmsg(int, void *, int)'),
  sendmsg: declare('int64 sendmsg(int, void *, int)'),
  sendto: declare('int64 sendto(int, void *, size_t, int, void *, unsigned int)'),
  recv: declare('int64 recv(int, void *, size_t, int)'),
  mount: declare('int mount(const char *, const char *, const char *, unsigned long, const char *)'),
  prctl: declare('int prctl(int, unsigned long, unsigned long, unsigned long, unsigned long)'),
  tcgetpgrp: declare('int tcgetpgrp(int)'),
  tcsetpgrp: declare('int tcsetpgrp(int, int)'),
  getpgrp: declare('int getpgrp(void)'),
  pthreadSigmask: declare('int pthread_sigmask(int, void *, void *)'),
  waitid: declare('int waitid(int, unsigned int, void *, int)'),
  capset: declare('int capset(void *, void *)'),
  capget: declare('int capget(void *, void *)'),
  openTree: declare('long syscall(long, int, const char *, unsigned int)'),
  moveMount: declare('long syscall(long, int, const char *, int, const char *, unsigned int)'),
  mountSetattr: declare('long syscall(long, int, const char *, unsigned int, void *, size_t)'),
  closeRange: declare('long syscall(long, unsigned int, unsigned int, unsigned int)'),
  seccomp: declare('long syscall(long, unsigned int, unsigned int, void *)'),
};

export const AF = { UNIX: 1, INET: 2, INET6: 10, NETLINK: 16 } as const;
export const SOCK = { STREAM: 1, DGRAM: 2, RAW: 3, SEQPACKET: 5, NONBLOCK: 0o4000, CLOEXEC: 0o2000000 } as const;
const EAGAIN = 11;

export class SyscallError extends Error {
  readonly syscall: string;
  readonly errno: number;
  /** `EPERM` and the like. */
  readonly code: string;

  constructor(syscall: string, errno: number) {
    const code = getSystemErrorName(-errno);
    super(`${syscall}: ${code}`);
    this.name = 'SyscallError';
    this.syscall = syscall;
    this.errno = errno;
    this.code = code;
  }
}

function check(syscall: string, result: number): number {
  if (result < 0) throw new SyscallError(syscall, koffi.errno());
  return result;
}

/** A zeroed buffer whose address stays: typed arrays of up to 64 bytes may otherwise lie in the moving heap. */
export function pinned(size: number): Buffer {
  return Buffer.from(new ArrayBuffer(size));
}

function pointerTo(buffer: Buffer): bigint {
  return koffi.address(buffer);
}

// ── sockets ──────────────────────────────────────────────────────────────────────────────────────────────────────

export function openSocket(family: number, type: number, protocol = 0): number {
  return check('socket', fn.socket(family, type | SOCK.CLOEXEC, protocol));
}

export function openSocketPair(type: number): readonly [number, number] {
  const fds = pinned(8);
  check('socketpair', fn.socketpair(AF.UNIX, type | SOCK.CLOEXEC, 0, fds));
  return [fds.readInt32LE(0), fds.readInt32LE(4)];
}

export function closeDescriptor(fd: number): void {
  fn.close(fd);
}

export function setSocketOption(fd: number, level: number, name: number, value: number): void {
  const bytes = pinned(4);
  bytes.writeInt32LE(value);
  check('setsockopt', fn.setsockopt(fd, level, name, bytes, 4));
}

/** sockaddr_in or sockaddr_in6, as the family of the address asks. */
function encodeSocketAddress(address: Address, port: number): Buffer {
  const bytes = pinned(address.family === 4 ? 16 : 28);
  bytes.writeUInt16LE(address.family === 4 ? AF.INET : AF.INET6, 0);
  bytes.writeUInt16BE(port, 2);
  bytes.set(addressToBytes(address), address.family === 4 ? 4 : 8);
  return bytes;
}

function decodeSocketAddress(bytes: Buffer, offset: number): { address: Address; port: number } | undefined {
  const family = bytes.readUInt16LE(offset);
  const raw =
    family === AF.INET
      ? bytes.subarray(offset + 4, offset + 8)
      : family === AF.INET6
        ? bytes.subarray(offset + 8, offset + 24)
        : undefined;
  const address = raw && addressFromBytes(raw);
  return address && { address, port: bytes.readUInt16BE(offset + 2) };
}

export function bindSocket(fd: number, address: Address, port: number): void {
  const bytes = encodeSocketAddress(address, port);
  check('bind', fn.bind(fd, bytes, bytes.length));
}

export function listenSocket(fd: number, backlog: number): void {
  check('listen', fn.listen(fd, backlog));
}

export function localPortOf(fd: number): number {
  const bytes = pinned(28);
  const length = pinned(4);
  length.writeUInt32LE(28);
  check('getsockname', fn.getsockname(fd, bytes, length));
  return bytes.readUInt16BE(2);
}

/** 0, or the errno: a full queue (EAGAIN) is ordinary for a datagram and left to the caller. */
export function sendDatagram(fd: number, payload: Uint8Array, address: Address, port: number): number {
  const to = encodeSocketAddress(address, port);
  return fn.sendto(fd, payload, payload.length, 0x40 /* MSG_DONTWAIT */, to, to.length) < 0 ? koffi.errno() : 0;
}

export function sendBytes(fd: number, payload: Uint8Array): void {
  check('sendto', fn.sendto(fd, payload, payload.length, 0, null, 0));
}

/** `undefined` when nothing is there; throws on everything else. */
export function receiveBytes(fd: number, into: Buffer): number | undefined {
  const length = fn.recv(fd, into, into.length, 0x40);
  if (length >= 0) return length;
  if (koffi.errno() === EAGAIN) return undefined;
  throw new SyscallError('recv', koffi.errno());
}

// struct msghdr and one struct iovec, on LP64
const MSGHDR = 56;

interface MessageBuffers {
  readonly header: Buffer;
  readonly payload: Buffer;
  readonly name: Buffer;
  readonly control: Buffer;
}

/**
 * All parts of a message in one allocation: they point at one another where the garbage collector does not see it, so
 * that whoever holds one of them must hold all.
 */
function prepareMessage(payloadLength: number, nameLength: number, controlLength: number): MessageBuffers {
  const aligned = (length: number): number => (length + 15) & ~15;
  const nameAt = aligned(MSGHDR) + 16;
  const controlAt = nameAt + aligned(nameLength);
  const payloadAt = controlAt + aligned(controlLength);
  const block = pinned(payloadAt + payloadLength);
  const base = pointerTo(block);
  const header = block.subarray(0, MSGHDR);
  const iovec = block.subarray(aligned(MSGHDR), nameAt);
  iovec.writeBigUInt64LE(base + BigInt(payloadAt), 0);
  iovec.writeBigUInt64LE(BigInt(payloadLength), 8);
  if (nameLength > 0) header.writeBigUInt64LE(base + BigInt(nameAt), 0);
  header.writeBigUInt64LE(base + BigInt(aligned(MSGHDR)), 16);
  header.writeBigUInt64LE(1n, 24);
  if (controlLength > 0) header.writeBigUInt64LE(base + BigInt(controlAt), 32);
  return {
    header,
    name: block.subarray(nameAt, nameAt + nameLength),
    control: block.subarray(controlAt, controlAt + controlLength),
    payload: block.subarray(payloadAt),
  };
}

export interface Datagram {
  /** A view of the receiver's buffer: valid until the next one is received. */
  readonly payload: Buffer;
  readonly source: { readonly address: Address; readonly port: number };
  /** Where the application sent it (IP_RECVORIGDSTADDR). */
  readonly original: { readonly address: Address; readonly port: number };
}

const MSG_TRUNC = 0x20;
const IP_ORIGDSTADDR = 20;
const IPV6_ORIGDSTADDR = 74;

/** A function that takes one waiting datagram from `fd`: `undefined` when none waits, `'unusable'` for one without an original destination. */
export function createDatagramReceiver(fd: number): () => Datagram | 'unusable' | undefined {
  const controlSize = 128;
  const { header, name, control, payload } = prepareMessage(65_536, 28, controlSize);
  return () => {
    header.writeUInt32LE(28, 8);
    header.writeBigUInt64LE(BigInt(controlSize), 40);
    const length = fn.recvmsg(fd, header, 0x40);
    if (length < 0) {
      if (koffi.errno() === EAGAIN) return undefined;
      throw new SyscallError('recvmsg', koffi.errno());
    }
    const source = decodeSocketAddress(name, 0);
    let original: { address: Address; port: number } | undefined;
    const controlLength = Number(header.readBigUInt64LE(40));
    for (let at = 0; at + 16 <= controlLength;) {
      const size = Number(control.readBigUInt64LE(at));
      if (size < 16) break;
      const type = control.readInt32LE(at + 12);
      if (type === IP_ORIGDSTADDR || type === IPV6_ORIGDSTADDR) original = decodeSocketAddress(control, at + 16);
      at += (size + 7) & ~7;
    }
    const truncated = (header.readInt32LE(48) & MSG_TRUNC) !== 0;
    if (source === undefined || original === undefined || truncated) return 'unusable';
    return { payload: payload.subarray(0, length), source, original };
  };
}

/** One message with descriptors attached (SCM_RIGHTS); they stay open here. */
export function sendDescriptors(fd: number, payload: Uint8Array, descriptors: readonly number[]): void {
  const controlLength = descriptors.length === 0 ? 0 : 16 + ((descriptors.length * 4 + 7) & ~7);
  const { header, control, payload: bytes } = prepareMessage(payload.length, 0, controlLength);
  bytes.set(payload);
  if (controlLength > 0) {
    control.writeBigUInt64LE(BigInt(16 + descriptors.length * 4), 0);
    control.writeInt32LE(1 /* SOL_SOCKET */, 8);
    control.writeInt32LE(1 /* SCM_RIGHTS */, 12);
    descriptors.forEach((descriptor, index) => control.writeInt32LE(descriptor, 16 + index * 4));
    header.writeBigUInt64LE(BigInt(controlLength), 40);
  }
  check('sendmsg', fn.sendmsg(fd, header, 0x4000 /* MSG_NOSIGNAL */));
}

export interface ReceivedMessage {
  readonly payload: Buffer;
  readonly descriptors: readonly number[];
}

/** `'closed'` when the other end is gone, `undefined` when nothing waits. Descriptors come close-on-exec. */
export function receiveDescriptors(fd: number): ReceivedMessage | 'closed' | undefined {
  const controlSize = 16 + 4 * 16;
  const { header, control, payload } = prepareMessage(65_536, 0, controlSize);
  header.writeBigUInt64LE(BigInt(controlSize), 40);
  const length = fn.recvmsg(fd, header, 0x40 | 0x40000000 /* MSG_CMSG_CLOEXEC */);
  if (length < 0) {
    if (koffi.errno() === EAGAIN) return undefined;
    return 'closed';
  }
  if (length === 0) return 'closed';
  const descriptors: number[] = [];
  const controlLength = Number(header.readBigUInt64LE(40));
  if (controlLength >= 16 && control.readInt32LE(12) === 1) {
    const count = (Number(control.readBigUInt64LE(0)) - 16) / 4;
    for (let index = 0; index < count; index += 1) descriptors.push(control.readInt32LE(16 + index * 4));
  }
  return { payload: payload.subarray(0, length), descriptors };
}

/** Calls back whenever `fd` can be read. The function returned stops it. Keeps the process alive until then. */
export function whenReadable(fd: number, onReadable: () => void): () => void {
  const handle = koffi.node.poll(fd, { readable: true, disconnect: true }, onReadable);
  return () => {
    handle.close();
  };
}

// ── mounts ───────────────────────────────────────────────────────────────────────────────────────────────────────

export const MS = { RDONLY: 1, NOSUID: 2, NODEV: 4, NOEXEC: 8, BIND: 4096, REC: 16384, PRIVATE: 1 << 18 } as const;
const AT_FDCWD = -100;
const AT_RECURSIVE = 0x8000;
// the numbers of these three are the same on every architecture
const SYS_OPEN_TREE = 428;
const SYS_MOVE_MOUNT = 429;
const SYS_MOUNT_SETATTR = 442;

export function mountAt(source: string, target: string, type: string | null, flags: number, data: string | null): void {
  check(`mount ${target}`, fn.mount(source, target, type, flags, data));
}

/** A detached copy of the mount (and of what is mounted beneath) at `path`, as a descriptor. */
export function cloneMount(path: string): number {
  const OPEN_TREE_CLONE = 1;
  const OPEN_TREE_CLOEXEC = SOCK.CLOEXEC;
  return check(
    `open_tree ${path}`,
    fn.openTree(SYS_OPEN_TREE, AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE),
  );
}

/** Attaches what `cloneMount` gave at `target`. */
export function attachMount(fd: number, target: string): void {
  const MOVE_MOUNT_F_EMPTY_PATH = 4;
  check(`move_mount ${target}`, fn.moveMount(SYS_MOVE_MOUNT, fd, '', AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH));
}

/** Makes a mount, and all beneath it, read-only (Linux 5.12). */
export function makeReadOnly(path: string): void {
  const attributes = pinned(32);
  attributes.writeBigUInt64LE(1n /* MOUNT_ATTR_RDONLY */, 0);
  check(
    `mount_setattr ${path}`,
    fn.mountSetattr(SYS_MOUNT_SETATTR, AT_FDCWD, path, AT_RECURSIVE, attributes, attributes.length),
  );
}

// ── the process ──────────────────────────────────────────────────────────────────────────────────────────────────

const SYS_CLOSE_RANGE = 436;
const PR = { SET_DUMPABLE: 4, CAPBSET_READ: 23, CAPBSET_DROP: 24, CAP_AMBIENT: 47, SET_NO_NEW_PRIVS: 38 } as const;

/** Not dumpable: no process of the same user may look into or trace this one. */
export function hideFromTracers(): void {
  check('prctl', fn.prctl(PR.SET_DUMPABLE, 0, 0, 0, 0));
}

/** No program that is started from now on inherits a descriptor above `last`, whoever left it open (Linux 5.11). */
export function closeDescriptorsOnExecAbove(last: number): void {
  const CLOSE_RANGE_CLOEXEC = 4;
  check('close_range', fn.closeRange(SYS_CLOSE_RANGE, last + 1, 0xffffffff, CLOSE_RANGE_CLOEXEC));
}

/**
 * For programs that this thread starts from now on: no capability outside `keep` can ever be had again. The calling
 * thread keeps its own.
 */
export function limitInheritedCapabilities(keep: ReadonlySet<number>): void {
  for (let capability = 0; capability < 64; capability += 1) {
    if (keep.has(capability) || fn.prctl(PR.CAPBSET_READ, capability, 0, 0, 0) !== 1) continue;
    check('prctl', fn.prctl(PR.CAPBSET_DROP, capability, 0, 0, 0));
  }
  check('prctl', fn.prctl(PR.CAP_AMBIENT, 4 /* PR_CAP_AMBIENT_CLEAR_ALL */, 0, 0, 0));
  const header = pinned(8);
  header.writeUInt32LE(0x20080522, 0);
  const data = pinned(24);
  check('capget', fn.capget(header, data));
  // effective, permitted, inheritable: twice, for the low and the high 32 capabilities
  data.writeUInt32LE(0, 8);
  data.writeUInt32LE(0, 20);
  check('capset', fn.capset(header, data));
}

/** Whether this process's effective set holds `capability`. */
export function hasCapability(capability: number): boolean {
  const header = pinned(8);
  header.writeUInt32LE(0x20080522, 0);
  const data = pinned(24);
  check('capget', fn.capget(header, data));
  const word = data.readUInt32LE(capability < 32 ? 0 : 12);
  return ((word >>> (capability & 31)) & 1) === 1;
}

/** Installs a seccomp filter on this thread and all that it starts. `program`: struct sock_filter, 8 bytes each. */
export function installSeccompFilter(program: Buffer, numberOfSeccomp: number): void {
  // struct sock_fprog, and the program it points at, in one allocation
  const block = pinned(16 + program.length);
  program.copy(block, 16);
  block.writeUInt16LE(program.length / 8, 0);
  block.writeBigUInt64LE(pointerTo(block) + 16n, 8);
  check('seccomp', fn.seccomp(numberOfSeccomp, 1 /* SECCOMP_SET_MODE_FILTER */, 0, block));
}

/** Takes the exit of one ended child that is not `except`; returns whether there was one. */
export function reapOrphan(except: number | undefined): boolean {
  const WEXITED = 4;
  const WNOHANG = 1;
  const WNOWAIT = 0x01000000;
  const P_ALL = 0;
  const P_PID = 1;
  const info = pinned(128);
  if (fn.waitid(P_ALL, 0, info, WEXITED | WNOHANG | WNOWAIT) < 0) return false;
  // siginfo_t: si_pid is the first of the union, which is aligned to 8
  const pid = info.readInt32LE(16);
  if (pid === 0 || pid === except) return false;
  return fn.waitid(P_PID, pid, info, WEXITED | WNOHANG) === 0;
}

/** The foreground process group of the terminal at `fd`; `undefined` where it is none. */
export function foregroundGroupOf(fd: number): number | undefined {
  const group = fn.tcgetpgrp(fd);
  return group < 0 ? undefined : group;
}

/** Takes the terminal at `fd` back for this process's group. */
export function takeForeground(fd: number): void {
  const SIGTTOU = 22;
  const signals = pinned(128);
  signals.writeUInt32LE(1 << (SIGTTOU - 1), 0);
  const before = pinned(128);
  // from the background the call would stop the whole group; where the signal is blocked it is let through (a handler does not do)
  fn.pthreadSigmask(0 /* SIG_BLOCK */, signals, before);
  fn.tcsetpgrp(fd, fn.getpgrp());
  fn.pthreadSigmask(2 /* SIG_SETMASK */, before, null);
}
