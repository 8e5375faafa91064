/** What the box takes over from the host when it starts: resolvers, names in /etc/hosts, where IPv6 leads. Read once, before the command can change a file. */
import { readFileSync, realpathSync } from 'node:fs';
import { addressFromBytes, parseAddress, parseCidr, type Address, type Cidr } from '../platform/pure/address.ts';
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

const RTF_UP = 0x1;
const RTF_REJECT = 0x200;
const MAX_ROUTES = 256;

/**
 * Where the host has a way to over IPv6: nowhere else may the box seem to have one, or clients would choose it and fail
 * after the firewall had accepted. proc(5), /proc/net/ipv6_route; link-local and multicast left out.
 */
export function readIpv6Routes(path = '/proc/net/ipv6_route'): readonly Cidr[] {
  const routes = new Map<string, Cidr>();
  for (const line of readOrEmpty(path).split('\n')) {
    const [destination = '', prefix = '', , , , , , , flagsText = ''] = line.trim().split(/\s+/);
    const flags = Number.parseInt(flagsText, 16);
    const address = addressFromBytes(Buffer.from(destination, 'hex'));
    if (address?.family !== 6 || (flags & RTF_UP) === 0 || (flags & RTF_REJECT) !== 0) continue;
    if (isLoopback(address) || /^(fe[89ab]|ff)/.test(address.text)) continue;
    const cidr = parseCidr(`${address.text}/${Number.parseInt(prefix, 16)}`);
    if (cidr !== undefined) routes.set(cidr.text, cidr);
  }
  // so many that they may as well be all
  const everything = parseCidr('::/0');
  return routes.size > MAX_ROUTES && everything !== undefined ? [everything] : [...routes.values()];
}

/** What leads to whoever dials it: loopback, and what the kernel takes for it (0.0.0.0, ::). */
export function isOwnHost(address: Address): boolean {
  return isLoopback(address) || (address.family === 4 ? address.bits[0] >>> 24 === 0 : address.text === '::');
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
