/** A working directory is a place in a mount: one beneath a mask must not stay what the mask hides. */
import { beforeAll, describe, expect, it } from 'vitest';
import { asUser, PROGRAM, USERS, userEnvironment, type User } from './box.ts';
import { lackForNetwork } from './machine.ts';
import { capture, run, type Outcome } from './processes.ts';
import { useNetwork } from './suite.ts';

const network = useNetwork();

/** `script` in the box, started from `folder` of the host. */
function runFrom(user: User, folder: string, script: string): Promise<Outcome> {
  const argv = [...PROGRAM, 'run', '--on-violation', 'Block', '--summary', 'never', '--', '/bin/sh', '-c', script];
  return run(asUser(network(), user, folder, userEnvironment('/'), argv));
}

describe.each(USERS)('the working directory, as %s', (user) => {
  beforeAll(async () => {
    if (lackForNetwork() !== undefined) return;
    const script = 'mount -t tmpfs tmpfs /run && mkdir -p /run/user/7 && touch /run/user/7/bus && chmod -R 777 /run';
    await capture([...network().host.enter, 'sh', '-c', script]);
  });

  it.each(['/proc', '/proc/sys/kernel', '/dev', '/sys', '/run/user'])(
    'is what its path leads to: %s',
    async (folder) => {
      const { stdout, stderr } = await runFrom(user, folder, `pwd; test . -ef ${folder} && echo same; ls 7 2>&1`);
      expect(stderr).toBe('');
      expect(stdout.split('\n').slice(0, 2)).toEqual([folder, 'same']);
      expect(stdout).not.toContain('bus\n');
    },
  );

  it('opens no kernel setting', async () => {
    const { stderr } = await runFrom(user, '/proc', 'for file in sys/kernel/core_pattern; do : >>$file; done');
    expect(stderr).toMatch(/Read-only file system|Permission denied/);
  });

  it('that is hidden is refused, and nothing is started', async () => {
    const { status, stdout, stderr } = await runFrom(user, '/run/user/7', 'echo started; ls');
    expect(stdout).toBe('');
    expect(stderr).toContain('the working directory /run/user/7 is hidden');
    expect(status).toBe(64);
  });
});
