/** Puts the rules into the kernel by whichever tool is there: nft, else iptables (its nft backend, else legacy). */
import { spawnSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';
import { SallyportError } from '../../platform/pure/errors.ts';
import { renderIptables, renderNft, type InterceptPlan } from './rules.ts';

export type PacketFilterTool =
  | { readonly kind: 'nft'; readonly path: string }
  | { readonly kind: 'iptables'; readonly restore4: string; readonly restore6: string };

// people's PATH often lacks the sbin folders
const SBIN = ['/usr/sbin', '/sbin', '/usr/local/sbin'];

/** The first tool found; throws `no-packet-filter`. `only` narrows the choice, for tests and for kernels that know one alone. */
export function findPacketFilterTool(searchPath: string, only?: 'nft' | 'iptables'): PacketFilterTool {
  const nft = only === 'iptables' ? undefined : findProgram('nft', searchPath);
  if (nft !== undefined) return { kind: 'nft', path: nft };
  if (only !== 'nft') {
    for (const flavour of ['-nft', '', '-legacy']) {
      const restore4 = findProgram(`iptables${flavour}-restore`, searchPath);
      const restore6 = findProgram(`ip6tables${flavour}-restore`, searchPath);
      if (restore4 !== undefined && restore6 !== undefined) return { kind: 'iptables', restore4, restore6 };
    }
  }
  throw new SallyportError(
    'no-packet-filter',
    `neither nft nor iptables was found in ${searchPath}:${SBIN.join(':')}`,
    'Install one of them, for example: apt-get install nftables',
  );
}

export function findProgram(name: string, searchPath: string): string | undefined {
  for (const folder of [...searchPath.split(':'), ...SBIN]) {
    const path = join(folder, name);
    if (folder === '') continue;
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // the next folder
    }
  }
  return undefined;
}

/** Applies the plan to the network namespace of this process; throws `no-kernel-support` with what the tool said. */
export function applyRules(tool: PacketFilterTool, plan: InterceptPlan): void {
  if (tool.kind === 'nft') {
    feed(tool.path, ['-f', '-'], renderNft(plan));
    return;
  }
  for (const family of plan.families) {
    feed(family === 4 ? tool.restore4 : tool.restore6, [], renderIptables(plan, family));
  }
}

function feed(path: string, args: readonly string[], input: string): void {
  const result = spawnSync(path, args, {
    input,
    encoding: 'utf8',
    // iptables-legacy takes a lock file that only root can write
    env: { XTABLES_LOCKFILE: '/dev/null', PATH: SBIN.join(':') },
  });
  if (result.status === 0) return;
  const said = result.error?.message ?? result.stderr.trim();
  throw new SallyportError(
    'no-kernel-support',
    `${path} refused the firewall's rules: ${said}`,
    'The kernel must have nf_tables with TPROXY and connection tracking (modules nft_tproxy, nf_conntrack), or iptables with xt_TPROXY.',
  );
}
