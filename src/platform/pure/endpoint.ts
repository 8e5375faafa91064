/** Addresses with ports as people write them on a command line. What is not exactly one is `undefined`, never guessed. */
import { parseAddress } from './address.ts';
import type { Address } from './address.ts';

export interface Endpoint {
  readonly address: Address;
  readonly port: number;
}

export interface ListenAddress {
  /** `undefined`: every address of the machine. */
  readonly host: string | undefined;
  /** 0: any free port. */
  readonly port: number;
  /** As it was written. */
  readonly text: string;
}

/** `192.0.2.1`, `192.0.2.1:53`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:53`. */
function parseEndpoint(text: string, defaultPort: number): Endpoint | undefined {
  const bare = parseAddress(text);
  if (bare !== undefined) return { address: bare, port: defaultPort };
  const match = /^(?:\[([^[\]]+)\]|([^:[\]]+))(?::(.*))?$/s.exec(text);
  const address = parseAddress(match?.[1] ?? match?.[2] ?? '');
  const port = match?.[3] === undefined ? defaultPort : parsePort(match[3]);
  // brackets are for IPv6
  if (
    address === undefined ||
    port === undefined ||
    port === 0 ||
    (match?.[1] !== undefined && !match[1].includes(':'))
  )
    return undefined;
  return { address, port };
}

/** A DNS server: port 53 where none is given. */
export function parseResolver(text: string): Endpoint | undefined {
  return parseEndpoint(text, 53);
}

/** `127.0.0.1:9090`, `[::1]:9090`, `localhost:9090`, `:9090` for every address of the machine. */
export function parseListenAddress(text: string): ListenAddress | undefined {
  const colon = text.lastIndexOf(':');
  const port = parsePort(text.slice(colon + 1));
  if (colon < 0 || port === undefined) return undefined;
  const host = text.slice(0, colon);
  if (host === '') return { host: undefined, port, text };
  if (host === 'localhost') return { host: '127.0.0.1', port, text };
  const bracketed = /^\[(.*:.*)\]$/s.exec(host)?.[1];
  const address = parseAddress(bracketed ?? host);
  // `::1:9090` could be an address alone
  if (address === undefined || (address.family === 6 && bracketed === undefined)) return undefined;
  return { host: address.text, port, text };
}

/** 0 to 65535, decimal, without a leading zero. */
export function parsePort(text: string): number | undefined {
  if (!/^(0|[1-9]\d{0,4})$/.test(text)) return undefined;
  const port = Number(text);
  return port <= 65535 ? port : undefined;
}
