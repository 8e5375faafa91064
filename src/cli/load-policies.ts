/**
 * Policy files as people name them. Input: paths, `-` for standard input. Output: their policies, or every problem of every
 * file with file, line and remedy. Nothing is used of a set in which one file is wrong.
 */
import { parsePolicies } from '../api/parse.ts';
import type { Policy } from '../api/policy.ts';
import { readBounded } from '../platform/io/files.ts';
import type { Problem } from '../platform/pure/problem.ts';
import type { Terminal } from './terminal.ts';

export interface LoadedFile {
  /** The path, or `standard input`. */
  readonly name: string;
  readonly policies: readonly Policy[];
  /** Errors and warnings. */
  readonly problems: readonly Problem[];
}

const MAX_BYTES = 4 * 1024 * 1024;

/** Throws `input-missing` where a file cannot be read. */
export async function loadPolicyFiles(
  paths: readonly string[],
  terminal: Pick<Terminal, 'readStdin'>,
): Promise<readonly LoadedFile[]> {
  const files: LoadedFile[] = [];
  const seen = new Map<string, string>();
  for (const path of [...new Set(paths)]) {
    const file = await loadFile(path, terminal);
    const repeated = file.policies.flatMap((policy) => {
      const key = `${policy.kind} ${policyName(policy)}`;
      const earlier = seen.get(key);
      seen.set(key, file.name);
      return earlier === undefined || earlier === file.name ? [] : [repeatedIn(key, file.name, earlier)];
    });
    files.push({ ...file, problems: [...file.problems, ...repeated] });
  }
  return files;
}

export function isError(problem: Problem): boolean {
  return problem.severity === 'error';
}

/** `namespace/name`, or `name` alone. */
export function policyName(policy: Policy): string {
  const { name, namespace } = policy.metadata;
  return namespace === undefined ? name : `${namespace}/${name}`;
}

async function loadFile(path: string, terminal: Pick<Terminal, 'readStdin'>): Promise<LoadedFile> {
  const name = path === '-' ? 'standard input' : path;
  const bytes = path === '-' ? await terminal.readStdin(MAX_BYTES) : await readBounded(path, MAX_BYTES);
  const text = decode(bytes);
  if (typeof text !== 'string') return { name, policies: [], problems: [{ ...text, source: name }] };
  const parsed = parsePolicies(text, name);
  if (!parsed.ok) return { name, policies: [], problems: parsed.problems };
  if (parsed.value.length > 0) return { name, policies: parsed.value, problems: parsed.warnings };
  const empty: Problem = {
    path: '',
    message: 'there is no policy in it',
    remedy: 'Write a SecurityPolicy into it, or name another file.',
    severity: 'error',
    source: name,
  };
  return { name, policies: [], problems: [...parsed.warnings, empty] };
}

function decode(bytes: Buffer): string | Problem {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return { path: '', message: 'it is not UTF-8 text', remedy: 'Save it as UTF-8.', severity: 'error' };
  }
}

function repeatedIn(policy: string, name: string, earlier: string): Problem {
  return {
    path: 'metadata.name',
    message: `${policy} stands in ${earlier} too`,
    remedy: 'Give one of them another name, or name only one of the files.',
    severity: 'error',
    source: name,
  };
}
