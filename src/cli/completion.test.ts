import { spawnSync } from 'node:child_process';

import { describe, expect, test } from 'vitest';

import { main } from './main.ts';

async function scriptFor(shell: string): Promise<string> {
  let script = '';
  const status = await main(['completion', shell], {
    stdout: (text) => (script += text),
    stderr: () => undefined,
    readStdin: () => Promise.reject(new Error('not asked for')),
    env: {},
    cwd: '/',
    stdoutIsTty: false,
    stderrIsTty: false,
    columns: undefined,
    version: '0',
    run: () => Promise.reject(new Error('not asked for')),
  });
  expect(status).toBe(0);
  return script;
}

/** What bash would offer for the last word. */
function offered(script: string, words: readonly string[]): readonly string[] {
  const ask = `${script}\nCOMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _sallyport; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const { stdout, status, stderr } = spawnSync('bash', ['--norc', '-c', ask, 'bash', ...words], { encoding: 'utf8' });
  expect([status, stderr]).toEqual([0, '']);
  return stdout.split('\n').filter((line) => line !== '');
}

describe('completion of bash', () => {
  test.each([
    [
      ['sallyport', ''],
      ['run', 'validate', 'explain', 'why', 'completion', '--help', '--version'],
    ],
    [['sallyport', 'r'], ['run']],
    [['sallyport', 'run', '--on'], ['--on-violation']],
    [
      ['sallyport', 'run', '--on-violation', ''],
      ['Block', 'Notify'],
    ],
    [
      ['sallyport', 'explain', '--class', 't'],
      ['tcp', 'tls'],
    ],
    [
      ['sallyport', 'completion', ''],
      ['bash', 'zsh', 'fish'],
    ],
    [['sallyport', 'why', '--log', '/etc/host'], ['/etc/hosts']],
    [['sallyport', 'run', '-p', '/etc/hosts', '--', 'dirnam'], ['dirname']],
    [['sallyport', 'run', '--output', 'json', 'dirnam'], ['dirname']],
    [['sallyport', 'run', 'ls', '--on'], []],
    [['sallyport', 'run', '--', 'cat', '/etc/hosts'], ['/etc/hosts']],
  ])('%j', async (words, wanted) => {
    const found = offered(await scriptFor('bash'), words);
    if (words.at(-1)?.startsWith('/') === true) expect(found).toEqual(expect.arrayContaining(wanted));
    else expect([...new Set(found)].sort()).toEqual([...wanted].sort());
  });
});

describe.each(['zsh', 'fish'])('completion of %s', (shell) => {
  test('knows every command and option', async () => {
    const script = await scriptFor(shell);
    for (const word of [
      'run',
      'validate',
      'explain',
      'why',
      'on-violation',
      'log-allowed',
      'allow-socket',
      'Block Notify',
      'bash zsh fish',
    ]) {
      expect(script).toContain(word);
    }
  });
});
