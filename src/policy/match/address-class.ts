/**
 * What kind of address a name answered with. An explicit list, not "not public": documentation ranges count as public,
 * because registries behind mirrors resolve to them.
 */
import {
  addressFromBytes,
  addressToBytes,
  cidrContains,
  ipv4FromBits,
  parseCidr,
  type Address,
  type Cidr,
} from '../../platform/pure/address.ts';

/** `special`: never without the rule's own `cidrs`. `private`: for an exact name, not for a wildcard. */
export type AddressClass = 'public' | 'private' | 'special';

const SPECIAL = cidrs(
  '0.0.0.0/8',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '224.0.0.0/4',
  '240.0.0.0/4',
  // metadata and platform services outside link-local
  '168.63.129.16/32',
  '100.100.100.200/32',
  '::/128',
  '::1/128',
  'fe80::/10',
  'fec0::/10',
  'ff00::/8',
  'fd00:ec2::/32',
);
const PRIVATE = cidrs('10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '100.64.0.0/10', 'fc00::/7');
/** Prefixes that carry an IPv4 address in the last 32 bits: NAT64, its local form, and IPv4-compatible. */
const EMBEDDING = cidrs('64:ff9b::/96', '64:ff9b:1::/48', '::/96');
/** 6to4 carries it after the first 16 bits. */
const SIX_TO_FOUR = cidrs('2002::/16');

export function classifyAddress(address: Address, protectedRanges: readonly Cidr[]): AddressClass {
  if (isIn(address, SPECIAL) || isIn(address, protectedRanges)) return 'special';
  if (isIn(address, PRIVATE)) return 'private';
  const embedded = embeddedIpv4(address);
  return embedded === undefined ? 'public' : classifyAddress(embedded, protectedRanges);
}

function embeddedIpv4(address: Address): Address | undefined {
  if (address.family === 4) return undefined;
  if (isIn(address, EMBEDDING)) return ipv4FromBits(address.bits[3]);
  if (isIn(address, SIX_TO_FOUR)) return addressFromBytes(addressToBytes(address).subarray(2, 6));
  return undefined;
}

export function isIn(address: Address, ranges: readonly Cidr[]): boolean {
  return ranges.some((range) => cidrContains(range, address));
}

export function cidrs(...texts: readonly string[]): readonly Cidr[] {
  return texts.map((text) => {
    const cidr = parseCidr(text);
    if (cidr === undefined) throw new Error(`no range: ${text}`);
    return cidr;
  });
}
