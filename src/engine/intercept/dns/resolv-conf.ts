/** resolv.conf(5) as text → what of it matters here. */
import { parseAddress, type Address } from '../../../platform/pure/address.ts';
import { canonicalHost } from '../../../platform/pure/host.ts';

export interface ResolvConf {
  /** Three at most, as the C library takes. A scoped link-local address is left out: its scope is another namespace's. */
  readonly nameservers: readonly Address[];
  readonly search: readonly string[];
}

const MAX_NAMESERVERS = 3;

export function parseResolvConf(text: string): ResolvConf {
  const nameservers: Address[] = [];
  let search: readonly string[] = [];
  for (const line of text.split('\n')) {
    const [keyword = '', ...values] = (line.split(/[#;]/)[0] ?? '').trim().split(/\s+/);
    if (keyword === 'nameserver') {
      const address = parseAddress(values[0] ?? '');
      if (address !== undefined && nameservers.length < MAX_NAMESERVERS) nameservers.push(address);
    }
    // the last of the two wins
    if (keyword === 'search' || keyword === 'domain') search = values.flatMap((value) => canonicalHost(value) ?? []);
  }
  return { nameservers, search };
}
