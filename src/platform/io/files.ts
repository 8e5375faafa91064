/** Reads whole files that people name on a command line: bounded, with a message that says what is wrong with which. */
import { access, constants, open, stat } from 'node:fs/promises';
import { delimiter, resolve } from 'node:path';

import { SallyportError } from '../pure/errors.ts';

/** Throws `input-missing` where the file cannot be read, `policy-invalid` where it is larger than `maxBytes`. */
export async function readBounded(path: string, maxBytes: number): Promise<Buffer> {
  try {
    const file = await open(path, constants.O_RDONLY | constants.O_NOCTTY);
    try {
      if ((await file.stat()).isDirectory()) {
        throw new SallyportError('input-missing', `${path} is a directory`, 'Name the files in it.');
      }
      const chunks: Buffer[] = [];
      let size = 0;
      // a device or a pipe has no size to ask for
      while (size <= maxBytes) {
        const { buffer, bytesRead } = await file.read(Buffer.alloc(64 * 1024), 0, 64 * 1024, null);
        if (bytesRead === 0) return Buffer.concat(chunks);
        chunks.push(buffer.subarray(0, bytesRead));
        size += bytesRead;
      }
      throw tooLarge(path, maxBytes);
    } finally {
      await file.close();
    }
  } catch (cause) {
    if (cause instanceof SallyportError) throw cause;
    throw new SallyportError('input-missing', `cannot read ${path}: ${whyNot(cause)}`, 'Check the path.', cause);
  }
}

function tooLarge(name: string, maxBytes: number): SallyportError {
  return new SallyportError(
    'policy-invalid',
    `${name} is larger than ${maxBytes} bytes`,
    'Split it into several files, or name the right file.',
  );
}

/**
 * The file that a shell would execute. Throws `command-not-found` or `command-not-executable`. `searchPath` is PATH as it
 * stands in the environment.
 */
export async function findExecutable(name: string, searchPath: string | undefined, cwd: string): Promise<string> {
  if (name === '') throw new SallyportError('command-not-found', 'the command is empty', 'Name a command after --.');
  // execvp: a name with a slash is a path, whatever PATH says; an empty entry of PATH is the working directory
  const isPath = name.includes('/');
  const candidates = isPath
    ? [resolve(cwd, name)]
    : (searchPath ?? '/usr/local/bin:/usr/bin:/bin').split(delimiter).map((entry) => resolve(cwd, entry, name));
  let refused: string | undefined;
  for (const candidate of candidates) {
    const answer = await executableAt(candidate);
    if (answer === 'yes') return candidate;
    // along PATH a shell passes over directories, and over what it may not look into
    if (answer === 'is not executable' || (isPath && answer !== 'missing')) refused ??= `${candidate} ${answer}`;
  }
  if (refused !== undefined) {
    throw new SallyportError(
      'command-not-executable',
      `cannot execute ${name}: ${refused}`,
      'Make it executable (chmod +x), or name its interpreter first.',
    );
  }
  throw new SallyportError(
    'command-not-found',
    `${name}: command not found`,
    isPath ? 'Check the path.' : 'Check the name, or give its path. Aliases and functions of a shell need `sh -c`.',
  );
}

async function executableAt(
  path: string,
): Promise<'yes' | 'missing' | 'is a directory' | 'is not a file' | 'is not executable' | 'cannot be reached'> {
  try {
    const found = await stat(path);
    if (found.isDirectory()) return 'is a directory';
    if (!found.isFile()) return 'is not a file';
  } catch (error) {
    return codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR' ? 'missing' : 'cannot be reached';
  }
  try {
    await access(path, constants.X_OK);
    return 'yes';
  } catch {
    return 'is not executable';
  }
}

function whyNot(error: unknown): string {
  switch (codeOf(error)) {
    case 'ENOENT':
      return 'there is no such file';
    case 'ENOTDIR':
      return 'a part of its path is not a directory';
    case 'EACCES':
    case 'EPERM':
      return 'reading it is not permitted';
    case 'ELOOP':
      return 'its symbolic links go round in a circle';
    default:
      return codeOf(error) ?? String(error);
  }
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}
