/**
 * What `explain` is asked about. Input: a URL or HOST:PORT, and options. Output: the access that the engine would make of
 * it, with notes on what had to be assumed. Nothing is resolved. What is ambiguous is a usage error.
 */
import type { Access, ClassName, Destination, Operation, OperationType } from '../model/access.ts';
import { NO_OPERATION, NO_TAGS } from '../model/access.ts';
import { specOf } from '../model/classes.ts';
import { VIRTUAL_HOSTS } from '../model/virtual-hosts.ts';
import { ipv4FromBits, parseAddress } from '../platform/pure/address.ts';
import type { Address } from '../platform/pure/address.ts';
import { parsePort } from '../platform/pure/endpoint.ts';
import { SallyportError } from '../platform/pure/errors.ts';
import { canonicalHost } from '../platform/pure/host.ts';
import { canonicalPath } from '../platform/pure/path.ts';

export interface TargetFlags {
  readonly class?: ClassName;
  readonly method: string;
  /** DNS record type. */
  readonly type: string;
  readonly address?: string;
  readonly port?: string;
}

export interface Target {
  readonly access: Access;
  readonly notes: readonly string[];
}

interface Scheme {
  readonly class: ClassName;
  /** `undefined`: the target must say it. */
  readonly port: number | undefined;
}

const SCHEMES: Readonly<Record<string, Scheme>> = {
  http: { class: 'http', port: 80 },
  ws: { class: 'websocket', port: 80 },
  https: { class: 'tls', port: 443 },
  wss: { class: 'tls', port: 443 },
  tls: { class: 'tls', port: 443 },
  quic: { class: 'quic', port: 443 },
  dns: { class: 'dns', port: 53 },
  icmp: { class: 'icmp', port: 0 },
  tcp: { class: 'tcp', port: undefined },
  udp: { class: 'udp', port: undefined },
};

/** Any address that is public: documentation's, which is nobody's. */
const ASSUMED_ADDRESS = '192.0.2.1';

const NOWHERE = ipv4FromBits(0);

const METHOD_TYPES: Readonly<Record<string, OperationType>> = {
  GET: 'Read',
  HEAD: 'Read',
  OPTIONS: 'Read',
  POST: 'Write',
  PUT: 'Write',
  PATCH: 'Write',
  DELETE: 'Delete',
};

/** Throws `usage`. */
export function parseTarget(target: string, flags: TargetFlags): Target {
  const url = /^([A-Za-z][A-Za-z0-9+.-]*):\/\/([^/?#\\]*)([^#]*)/s.exec(target);
  const schemeName = url?.[1]?.toLowerCase();
  const scheme = schemeName === undefined ? undefined : SCHEMES[schemeName];
  if (schemeName !== undefined && scheme === undefined)
    throw usage(`the scheme ${schemeName}: is not known`, `Known are ${Object.keys(SCHEMES).join(', ')}.`);
  const rest = url?.[3] ?? '';
  if (!/^(?:[/?]|$)/.test(rest))
    throw usage('there is a backslash in the host', 'Write the host, then the path from its slash.');
  const className = flags.class ?? scheme?.class ?? 'tcp';
  const { host, port } = parseAuthority(url?.[2] ?? target, flags, className, scheme);
  const { address, assumed } = addressOf(host, flags);
  const isName = parseAddress(host) === undefined;
  const notes = assumed ? [`${host} is taken to have a public address; --address says another`] : [];
  // TLS has no server name for an address
  const carriesName = specOf(className).carriesName && (isName || className !== 'tls');
  const destination: Destination = {
    address,
    port,
    requestedName: carriesName ? host : undefined,
    names: isName ? [host] : [],
  };
  switch (className) {
    case 'http':
    case 'websocket':
      return httpTarget(className, host, rest === '' ? '/' : rest, destination, flags, notes);
    case 'dns':
      return {
        access: {
          class: 'dns',
          tags: { 'dns.name': host, 'dns.type': flags.type.toUpperCase() },
          operation: NO_OPERATION,
          // whatever resolver the application asks, the firewall asks its own
          destination: { address: NOWHERE, port: 0, requestedName: undefined, names: [] },
          doubt: undefined,
        },
        notes: [],
      };
    case 'tls':
    case 'quic':
      return {
        access: { class: className, tags: NO_TAGS, operation: NO_OPERATION, destination, doubt: 'not-inspected' },
        notes: /^\/?$/.test(rest)
          ? notes
          : [...notes, 'the path plays no part: it is encrypted, so only the server name is judged'],
      };
    case 'tcp':
    case 'udp':
    case 'icmp':
      return {
        access: { class: className, tags: NO_TAGS, operation: NO_OPERATION, destination, doubt: undefined },
        notes,
      };
  }
}

function httpTarget(
  className: 'http' | 'websocket',
  host: string,
  rest: string,
  destination: Destination,
  flags: TargetFlags,
  notes: readonly string[],
): Target {
  const method = flags.method.toUpperCase();
  const canonical = canonicalPath(rest.startsWith('/') ? rest : `/${rest}`);
  const operation: Operation = { name: method, type: METHOD_TYPES[method] };
  const tags: Record<string, string> = { 'http.host': host, 'http.method': method };
  if (canonical !== undefined) tags['http.path'] = canonical.path;
  return {
    access: { class: className, tags, operation, destination, doubt: undefined },
    notes:
      canonical === undefined
        ? [...notes, 'servers could read this path in two ways: no rule that limits paths allows it']
        : notes,
  };
}

function parseAuthority(
  text: string,
  flags: TargetFlags,
  className: ClassName,
  scheme: Scheme | undefined,
): { host: string; port: number } {
  if (text.includes('@')) throw usage('a user name in the target plays no part', 'Leave out what stands before the @.');
  const match = /^(?:\[([^[\]]*)\]|([^:]*))(?::(\d*))?$/.exec(text);
  // an IPv6 address without brackets has no port
  const bare = parseAddress(text);
  const hostText = bare === undefined ? (match?.[1] ?? match?.[2] ?? '') : text;
  const portText = (bare === undefined ? match?.[3] : undefined) ?? flags.port;
  const host = canonicalHost(hostText);
  if (host === undefined)
    throw usage(
      `${text === '' ? 'nothing' : text} is no host`,
      'Write a host name or an IP address, with a port: db.example.com:5432, [2001:db8::1]:443.',
    );
  const port = portText === undefined ? (scheme?.port ?? portOfClass(className)) : parsePort(portText);
  if (port === undefined)
    throw usage(
      portText === undefined ? 'the target has no port' : `${portText} is no port`,
      'Write HOST:PORT, or give --port.',
    );
  return { host, port };
}

function portOfClass(className: ClassName): number | undefined {
  return Object.values(SCHEMES).find((scheme) => scheme.class === className)?.port;
}

function addressOf(host: string, flags: TargetFlags): { address: Address; assumed: boolean } {
  const literal = parseAddress(host) ?? VIRTUAL_HOSTS.get(host)?.[0];
  const given = flags.address === undefined ? undefined : parseAddress(flags.address);
  if (flags.address !== undefined && given === undefined)
    throw usage(`${flags.address} is no IP address`, 'Give --address one IPv4 or IPv6 address.');
  const address = given ?? literal ?? parseAddress(ASSUMED_ADDRESS);
  if (address === undefined) throw usage(`${host} has no address`, 'Give --address.');
  return { address, assumed: given === undefined && literal === undefined };
}

function usage(message: string, remedy: string): SallyportError {
  return new SallyportError('usage', message, remedy);
}
