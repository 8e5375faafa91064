/** What the box takes over from the host when it starts: resolvers, names in /etc/hosts, whether there is IPv6. Read once, before the command can change a file. */
import { readFileSync, realpathSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { parseAddress, type Address } from '../platform/pure/address.ts';
import { canonicalHost } from '../platform/pure/host.ts';

export interface HostName {
  readonly name: string;
  readonly address: Address;
}

/** hosts(5), less loopback names: inside the box those are the box's own. */
export function readHostNames(path = '/etc/hosts'): readonly HostName[] {
  const text = readOrEmpty(path);
  return text.split('\n').flatMap((line) => {
    const [first = '', ...names] = (line.split('#')[0] ?? '').trim().split(/\s+/);
    const address = parseAddress(first);
    if (address === undefined || isLoopback(address)) return [];
    return names.flatMap((text) => {
      const name = canonicalHost(text);
      return name === undefined ? [] : [{ name, address }];
    });
  });
}

export function readResolvConf(path = '/etc/resolv.conf'): {
  readonly text: string;
  readonly realPath: string | undefined;
} {
  let realPath: string | undefined;
  try {
    realPath = realpathSync(path);
  } catch {
    realPath = undefined;
  }
  return { text: readOrEmpty(path), realPath };
}

/** Whether the host has an IPv6 address that leads anywhere: if not, clients inside had better not try. */
export function hostHasIpv6(): boolean {
  return Object.values(networkInterfaces())
    .flat()
    .some((entry) => entry?.family === 'IPv6' && entry.address !== '::1' && !entry.address.startsWith('fe80:'));
}

function isLoopback(address: Address): boolean {
  return address.family === 4 ? address.bits[0] >>> 24 === 127 : address.text === '::1';
}

function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
