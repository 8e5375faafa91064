/**
 * The system calls that would lead past the packet filter, as a seccomp filter. A network namespace does not hold
 * them: vsock knows none, io_uring opens sockets where no filter looks, TIOCSTI types into the shell that outlives us, and
 * request_key has the kernel start a program of the host that looks up the name that was asked for (key.dns_resolver).
 * Unknown architectures and call conventions get ENOSYS for everything that is looked at elsewhere.
 */
import { AF } from '../platform/io/libc.ts';

interface CallNumbers {
  /** AUDIT_ARCH_* */
  readonly audit: number;
  readonly seccomp: number;
  readonly socket: number;
  readonly ioctl: number;
  readonly ioUringSetup: number;
  readonly requestKey: number;
  /** socketcall(2) hides its arguments in memory: what opens a socket through it is refused as a whole. */
  readonly socketcall?: number;
}

// /usr/include/linux/audit.h, asm/unistd*.h
const X86_64: CallNumbers = {
  audit: 0xc000003e,
  seccomp: 317,
  socket: 41,
  ioctl: 16,
  ioUringSetup: 425,
  requestKey: 249,
};
const I386: CallNumbers = {
  audit: 0x40000003,
  seccomp: 354,
  socket: 359,
  ioctl: 54,
  ioUringSetup: 425,
  requestKey: 287,
  socketcall: 102,
};
const ARM64: CallNumbers = {
  audit: 0xc00000b7,
  seccomp: 277,
  socket: 198,
  ioctl: 29,
  ioUringSetup: 425,
  requestKey: 218,
};
const ARM: CallNumbers = {
  audit: 0x40000028,
  seccomp: 383,
  socket: 281,
  ioctl: 54,
  ioUringSetup: 425,
  requestKey: 310,
};

const ARCHITECTURES: Readonly<Record<string, { readonly native: CallNumbers; readonly compat: CallNumbers }>> = {
  x64: { native: X86_64, compat: I386 },
  arm64: { native: ARM64, compat: ARM },
};

const FAMILIES = [AF.UNIX, AF.INET, AF.INET6, AF.NETLINK];
const TIOCSTI = 0x5412;
const TIOCLINUX = 0x541c;
const X32_BIT = 0x40000000;

const RET_ALLOW = 0x7fff0000;
const RET_ERRNO = 0x00050000;
const ERRNO = { EPERM: 1, ENOSYS: 38, EAFNOSUPPORT: 97 } as const;

// struct seccomp_data: nr, arch, instruction pointer, args[6]; little-endian halves
const OFFSET_NR = 0;
const OFFSET_ARCH = 4;
const offsetOfArgument = (index: number): number => 16 + index * 8;

/** A line of the program; `to` names the label that a jump goes to when its test holds, else it falls through. */
type Line =
  | { readonly op: 'load'; readonly offset: number }
  | { readonly op: 'jump-if-equal' | 'jump-if-at-least'; readonly value: number; readonly to: string }
  | { readonly op: 'return'; readonly value: number }
  | { readonly op: 'label'; readonly name: string };

/** The filter for `process.arch`, or `undefined` where the numbers of its calls are not known here. */
export function buildSeccompFilter(
  arch: string,
): { readonly program: Buffer; readonly seccompNumber: number } | undefined {
  const pair = ARCHITECTURES[arch];
  if (pair === undefined) return undefined;
  const lines: Line[] = [
    { op: 'load', offset: OFFSET_ARCH },
    { op: 'jump-if-equal', value: pair.native.audit, to: 'native' },
    { op: 'jump-if-equal', value: pair.compat.audit, to: 'compat' },
    { op: 'return', value: RET_ERRNO | ERRNO.ENOSYS },
    ...linesFor('native', pair.native, arch === 'x64'),
    ...linesFor('compat', pair.compat, false),
  ];
  return { program: assemble(lines), seccompNumber: pair.native.seccomp };
}

function linesFor(label: string, numbers: CallNumbers, refuseX32: boolean): Line[] {
  const lines: Line[] = [
    { op: 'label', name: label },
    { op: 'load', offset: OFFSET_NR },
  ];
  if (refuseX32) lines.push({ op: 'jump-if-at-least', value: X32_BIT, to: `${label}-nosys` });
  lines.push(
    { op: 'jump-if-equal', value: numbers.socket, to: `${label}-socket` },
    { op: 'jump-if-equal', value: numbers.ioctl, to: `${label}-ioctl` },
    { op: 'jump-if-equal', value: numbers.ioUringSetup, to: `${label}-nosys` },
    { op: 'jump-if-equal', value: numbers.requestKey, to: `${label}-nosys` },
  );
  if (numbers.socketcall !== undefined) {
    lines.push({ op: 'jump-if-equal', value: numbers.socketcall, to: `${label}-socketcall` });
  }
  lines.push({ op: 'return', value: RET_ALLOW });
  if (numbers.socketcall !== undefined) {
    lines.push(
      { op: 'label', name: `${label}-socketcall` },
      { op: 'load', offset: offsetOfArgument(0) },
      { op: 'jump-if-equal', value: 1 /* SYS_SOCKET */, to: `${label}-nosys` },
      { op: 'return', value: RET_ALLOW },
    );
  }
  lines.push({ op: 'label', name: `${label}-socket` });
  lines.push({ op: 'load', offset: offsetOfArgument(0) });
  for (const family of FAMILIES) lines.push({ op: 'jump-if-equal', value: family, to: `${label}-allow` });
  lines.push(
    { op: 'return', value: RET_ERRNO | ERRNO.EAFNOSUPPORT },
    { op: 'label', name: `${label}-ioctl` },
    { op: 'load', offset: offsetOfArgument(1) },
    { op: 'jump-if-equal', value: TIOCSTI, to: `${label}-perm` },
    { op: 'jump-if-equal', value: TIOCLINUX, to: `${label}-perm` },
    { op: 'label', name: `${label}-allow` },
    { op: 'return', value: RET_ALLOW },
    { op: 'label', name: `${label}-perm` },
    { op: 'return', value: RET_ERRNO | ERRNO.EPERM },
    { op: 'label', name: `${label}-nosys` },
    { op: 'return', value: RET_ERRNO | ERRNO.ENOSYS },
  );
  return lines;
}

/** struct sock_filter: code u16, jump if true u8, jump if false u8, k u32. Jumps are relative and forward. */
function assemble(lines: readonly Line[]): Buffer {
  const positions = new Map<string, number>();
  let length = 0;
  for (const line of lines) {
    if (line.op === 'label') positions.set(line.name, length);
    else length += 1;
  }
  const program = Buffer.alloc(length * 8);
  let at = 0;
  for (const line of lines) {
    if (line.op === 'label') continue;
    const code = { load: 0x20, 'jump-if-equal': 0x15, 'jump-if-at-least': 0x35, return: 0x06 }[line.op];
    program.writeUInt16LE(code, at * 8);
    if (line.op === 'jump-if-equal' || line.op === 'jump-if-at-least') {
      const target = positions.get(line.to);
      if (target === undefined) throw new Error(`seccomp: no label ${line.to}`);
      program.writeUInt8(target - at - 1, at * 8 + 2);
    }
    program.writeUInt32LE((line.op === 'load' ? line.offset : line.value) >>> 0, at * 8 + 4);
    at += 1;
  }
  return program;
}
