import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, beforeEach, describe, expect, test } from 'vitest';

import { findExecutable, readBounded } from './files.ts';

let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'sallyport-files-'));
});

afterEach(() => {
  rmSync(directory, { recursive: true });
});

function file(name: string, mode = 0o755): string {
  const path = join(directory, name);
  writeFileSync(path, '#!/bin/sh\n');
  chmodSync(path, mode);
  return path;
}

describe('reading', () => {
  test('gives the whole file', async () => {
    const path = join(directory, 'a');
    const content = Buffer.alloc(200_000, 7);
    writeFileSync(path, content);
    expect((await readBounded(path, 200_000)).equals(content)).toBe(true);
  });

  test('stops at the bound, also of a device without end', async () => {
    await expect(readBounded('/dev/zero', 100_000)).rejects.toMatchObject({
      code: 'policy-invalid',
      message: /larger than 100000/,
    });
  });

  test('says what is wrong', async () => {
    symlinkSync('loop', join(directory, 'loop'));
    await expect(readBounded(directory, 10)).rejects.toMatchObject({
      code: 'input-missing',
      message: /is a directory/,
    });
    await expect(readBounded(join(directory, 'none'), 10)).rejects.toMatchObject({
      code: 'input-missing',
      message: /no such file/,
    });
    await expect(readBounded(join(directory, 'loop'), 10)).rejects.toMatchObject({
      code: 'input-missing',
      message: /circle/,
    });
    await expect(readBounded(join(file('f'), 'x'), 10)).rejects.toMatchObject({
      code: 'input-missing',
      message: /not a directory/,
    });
  });
});

describe('finding a command', () => {
  test('by PATH, in its order, past what is no file', async () => {
    mkdirSync(join(directory, 'one', 'tool'), { recursive: true });
    mkdirSync(join(directory, 'two'));
    const wanted = file('two/tool');
    const path = `${join(directory, 'missing')}:${join(directory, 'one')}:${join(directory, 'two')}`;
    expect(await findExecutable('tool', path, '/')).toBe(wanted);
  });

  test('by its path, from the working directory', async () => {
    const wanted = file('tool');
    expect(await findExecutable('./tool', '', directory)).toBe(wanted);
    expect(await findExecutable(wanted, '', '/')).toBe(wanted);
  });

  test('a name alone is not looked for in the working directory', async () => {
    file('tool');
    await expect(findExecutable('tool', '/nowhere', directory)).rejects.toMatchObject({ code: 'command-not-found' });
  });

  test('an empty entry of PATH is the working directory', async () => {
    expect(await findExecutable('tool', ':/nowhere', directory).catch(() => 'none')).toBe('none');
    const wanted = file('tool');
    expect(await findExecutable('tool', ':/nowhere', directory)).toBe(wanted);
  });

  test.each([
    ['no such command', 'nope', 'command-not-found', /nope: command not found/],
    ['the empty name', '', 'command-not-found', /empty/],
    ['a path that is missing', './nope', 'command-not-found', /not found/],
    ['a directory', '.', 'command-not-found', /not found/],
    ['a directory by its path', './', 'command-not-executable', /is a directory/],
    ['a device', '/dev/null', 'command-not-executable', /is not a file/],
    ['what may not be executed', './plain', 'command-not-executable', /is not executable/],
  ])('%s', async (_what, name, code, message) => {
    file('plain', 0o644);
    await expect(findExecutable(name, '/nowhere', directory)).rejects.toMatchObject({ code, message });
  });

  test('what may not be executed gives way to what may, later in PATH', async () => {
    mkdirSync(join(directory, 'one'));
    mkdirSync(join(directory, 'two'));
    file('one/tool', 0o644);
    const wanted = file('two/tool');
    expect(await findExecutable('tool', `${join(directory, 'one')}:${join(directory, 'two')}`, '/')).toBe(wanted);
    await expect(findExecutable('tool', join(directory, 'one'), '/')).rejects.toMatchObject({
      code: 'command-not-executable',
    });
  });
});
