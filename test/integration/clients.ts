/**
 * The client programs, one a language: each takes KIND HOST PORT TEXT four by four and answers a line of JSON for each.
 * What must be compiled is compiled once and kept outside the repository, by the hash of its source.
 */
import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { env } from 'node:process';
import { findProgram, SYSTEM_PATH } from './machine.ts';
import type { Network } from './network.ts';
import { capture } from './processes.ts';

export const LANGUAGES = ['python', 'node', 'go', 'java'] as const;
export type Language = (typeof LANGUAGES)[number];

export interface Answer {
  readonly status?: number;
  readonly body?: string;
  readonly error?: string;
}

const SOURCES = new URL('clients/', import.meta.url).pathname;

/** The command line of a language's client, ready for every user; or why there is none. */
export async function prepareClient(network: Network, language: Language): Promise<readonly string[] | string> {
  switch (language) {
    case 'python':
      return [findProgram('python3') ?? 'python3', join(SOURCES, 'client.py')];
    case 'node':
      return [process.execPath, join(SOURCES, 'client.ts')];
    case 'go': {
      const go = findProgram('go', `${SYSTEM_PATH}:/usr/local/go/bin:${env['PATH'] ?? ''}`);
      if (go === undefined) return 'skipped, because go is not installed';
      const settings = { ...env, GOTOOLCHAIN: 'local', GO111MODULE: 'off', GOFLAGS: '' };
      const folder = await build(network, 'client.go', (out) =>
        capture([go, 'build', '-o', join(out, 'client'), join(SOURCES, 'client.go')], { env: settings, timeoutMs: 120_000 }),
      ); // prettier-ignore
      return [join(folder, 'client')];
    }
    case 'java': {
      const [java, javac] = [findProgram('java'), findProgram('javac')];
      if (java === undefined || javac === undefined) return 'skipped, because no Java development kit is installed';
      const folder = await build(network, 'Client.java', (out) =>
        capture([javac, '-d', out, join(SOURCES, 'Client.java')], { timeoutMs: 60_000 }),
      );
      return [java, '-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC', '-Xmx128m', '-cp', folder, 'Client'];
    }
    default:
      return language satisfies never;
  }
}

async function build(network: Network, source: string, compile: (out: string) => Promise<unknown>): Promise<string> {
  const hash = createHash('sha256').update(readFileSync(join(SOURCES, source))).digest('hex').slice(0, 16); // prettier-ignore
  const cache = join(env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'sallyport', 'test');
  const kept = join(cache, `${source}-${hash}`);
  if (!existsSync(kept)) {
    const fresh = `${kept}.${process.pid}`;
    mkdirSync(fresh, { recursive: true });
    try {
      await compile(fresh);
      renameSync(fresh, kept);
    } finally {
      rmSync(fresh, { recursive: true, force: true });
    }
  }
  // the cache is in a home that other users may not enter
  const shared = join(network.folder, source.replace('.', '-'));
  cpSync(kept, shared, { recursive: true });
  return shared;
}
