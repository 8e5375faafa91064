import { describe, expect, it } from 'vitest';
import { buildSeccompFilter } from './seccomp.ts';

const X86_64 = 0xc000003e;
const I386 = 0x40000003;
const ALLOW = 0x7fff0000;
const refused = (errno: number): number => 0x00050000 | errno;

/** Runs the classic BPF program on one struct seccomp_data, as the kernel does: load, compare, return. */
function evaluate(program: Buffer, arch: number, nr: number, args: readonly number[]): number {
  const data = Buffer.alloc(64);
  data.writeUInt32LE(nr >>> 0, 0);
  data.writeUInt32LE(arch >>> 0, 4);
  args.forEach((arg, index) => data.writeUInt32LE(arg >>> 0, 16 + index * 8));
  let accumulator = 0;
  for (let at = 0; ; at += 1) {
    const code = program.readUInt16LE(at * 8);
    const jumpTrue = program.readUInt8(at * 8 + 2);
    const jumpFalse = program.readUInt8(at * 8 + 3);
    const k = program.readUInt32LE(at * 8 + 4);
    if (code === 0x20) accumulator = data.readUInt32LE(k);
    else if (code === 0x15) at += accumulator === k ? jumpTrue : jumpFalse;
    else if (code === 0x35) at += accumulator >= k ? jumpTrue : jumpFalse;
    else return k;
  }
}

describe('the seccomp filter', () => {
  const filter = buildSeccompFilter('x64');
  const run = (arch: number, nr: number, ...args: number[]): number =>
    evaluate(filter?.program ?? Buffer.alloc(0), arch, nr, args);

  it.each([
    ['a TCP socket', X86_64, 41, [2, 1], ALLOW],
    ['an IPv6 socket', X86_64, 41, [10, 2], ALLOW],
    ['a Unix socket', X86_64, 41, [1, 1], ALLOW],
    ['a vsock socket', X86_64, 41, [40, 1], refused(97)],
    ['a packet socket', X86_64, 41, [17, 3], refused(97)],
    ['io_uring', X86_64, 425, [8], refused(38)],
    ['a program of the host, by request_key', X86_64, 249, [], refused(38)],
    ['the same in 32 bits', I386, 287, [], refused(38)],
    ['a key of its own', X86_64, 248, [], ALLOW],
    ['typing into the terminal', X86_64, 16, [0, 0x5412], refused(1)],
    ['an ordinary ioctl', X86_64, 16, [0, 0x5401], ALLOW],
    ['a read', X86_64, 0, [0], ALLOW],
    ['the x32 convention', X86_64, 0x40000000 + 41, [40], refused(38)],
    ['a 32-bit vsock socket', I386, 359, [40], refused(97)],
    ['a 32-bit TCP socket', I386, 359, [2], ALLOW],
    ['a 32-bit socketcall that opens', I386, 102, [1], refused(38)],
    ['a 32-bit socketcall that connects', I386, 102, [3], ALLOW],
    ['an unknown architecture', 0x12345678, 41, [2], refused(38)],
  ] as const)('%s', (_what, arch, nr, args, answer) => {
    expect(run(arch, nr, ...args)).toBe(answer);
  });

  it('is unknown for other processors, and then nothing runs', () => {
    expect(buildSeccompFilter('riscv64')).toBeUndefined();
    expect(buildSeccompFilter('arm64')).toBeDefined();
  });
});
