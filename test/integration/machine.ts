/** What this machine has of what the tests need. A test that lacks something says so by `context.skip(reason)`. */
import { accessSync, constants, existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { getuid } from 'node:process';

/** Where the tests and their boxes look for programs: no user's home, which other users may not enter. */
export const SYSTEM_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

export function findProgram(name: string, path = SYSTEM_PATH): string | undefined {
  for (const folder of path.split(delimiter)) {
    const candidate = join(folder, name);
    try {
      accessSync(candidate, constants.X_OK);
      return candidate;
    } catch {
      // the next folder may have it
    }
  }
  return undefined;
}

/** Why the tests' own network cannot be made here, if so. */
export function lackForNetwork(): string | undefined {
  if (getuid?.() !== 0) return 'skipped, because the network of the tests is made as root';
  for (const name of ['ip', 'nft', 'nsenter', 'unshare', 'setpriv', 'nginx', 'dnsmasq', 'openssl', 'python3', 'curl']) {
    if (findProgram(name) === undefined) return `skipped, because ${name} is not installed`;
  }
  if (!existsSync('/usr/lib/nginx')) return 'skipped, because nginx is not Debian’s';
  return undefined;
}
