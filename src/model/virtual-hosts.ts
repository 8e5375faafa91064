/** Names that the firewall answers itself, with addresses that are nobody's: what stands for the host's loopback inside the box. */
import type { Address } from '../platform/pure/address.ts';
import { parseAddress } from '../platform/pure/address.ts';

export const HOST_LOOPBACK_NAME = 'host.sallyport.internal';

/** IETF protocol assignments (RFC 6890), and a ULA of our own. */
export const HOST_LOOPBACK_ADDRESSES: readonly Address[] = ['192.0.0.1', 'fd73:616c:6c79::1'].flatMap(
  (text) => parseAddress(text) ?? [],
);

export const VIRTUAL_HOSTS: ReadonlyMap<string, readonly Address[]> = new Map([
  [HOST_LOOPBACK_NAME, HOST_LOOPBACK_ADDRESSES],
]);
