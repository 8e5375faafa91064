import { spawn } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { cpuSeconds, memory, parseStat, processTree } from './processes.ts';

describe('parseStat', () => {
  it('is not misled by a command name with spaces and parentheses', () => {
    const rest = 'S 7 1 1 0 -1 0 0 0 0 0 123 45 0 0 20 0';
    expect(parseStat(`42 (a) b (c)) ${rest}`)).toEqual({ parent: 7, userTicks: 123, systemTicks: 45 });
  });
});

describe('processTree', () => {
  it('holds the descendants but not the command and what it started', async () => {
    const script = 'sh -c "sleep 60 & wait" command & sleep 61 & wait';
    const shell = spawn('sh', ['-c', script], { stdio: 'ignore', detached: true });
    try {
      const { pid = 0 } = shell;
      const all = await eventually(
        () => processTree(pid, () => false),
        ({ firewall }) => firewall.length === 4,
      );
      expect(all.firewall).toHaveLength(4);
      expect(all.command).toBeUndefined();
      const { firewall, command } = processTree(pid, (argv) => argv.at(-1) === 'command');
      expect(firewall).toHaveLength(2);
      expect(firewall).toContain(pid);
      expect(all.firewall).toContain(command);
    } finally {
      process.kill(-(shell.pid ?? 0), 'SIGKILL');
    }
  });
});

describe('measures of a process', () => {
  it('are more than nothing for this one', () => {
    expect(cpuSeconds([process.pid])).toBeGreaterThan(0);
    const { rssBytes, privateDirtyBytes } = memory([process.pid]);
    expect(privateDirtyBytes).toBeGreaterThan(2 ** 20);
    expect(rssBytes).toBeGreaterThan(privateDirtyBytes);
  });
  it('fail for one that is gone, rather than count it as nothing', () => {
    expect(() => cpuSeconds([2 ** 22 + 1])).toThrow('ENOENT');
  });
});

async function eventually<T>(read: () => T, enough: (value: T) => boolean): Promise<T> {
  const deadline = Date.now() + 3000;
  for (;;) {
    const value = read();
    if (enough(value) || Date.now() > deadline) return value;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
