/** The vocabulary of one judged act: what a workload reaches, and what it does there. */
import type { Address } from '../platform/pure/address.ts';

/** Classes that this version can judge. `tcp ⊇ tls ⊇ http ⊇ websocket`; `udp ⊇ {dns, quic}`; `icmp` stands alone. */
export type ClassName = 'tcp' | 'tls' | 'http' | 'websocket' | 'udp' | 'dns' | 'quic' | 'icmp';

export type OperationType = 'Read' | 'Write' | 'List' | 'Delete' | 'Tagging' | 'Permission' | 'Execute';

/** `undefined` where nobody could name it: then no rule that limits it says yes, and a deny rule that could mean it matches. */
export interface Operation {
  readonly name: string | undefined;
  readonly type: OperationType | undefined;
}

export interface Destination {
  /** The address that is dialled if the access is allowed. For `dns` the resolver that the application addressed. */
  readonly address: Address;
  /** 0 for protocols without ports. */
  readonly port: number;
  /** The host that the application asked for (SNI, HTTP authority), canonical; undefined where the protocol carries none. */
  readonly requestedName: string | undefined;
  /** Canonical names bound to `address` (DNS answers of ours, hostAliases). May hold `requestedName`. */
  readonly names: readonly string[];
}

/**
 * Why the inside of a flow cannot be told. With a doubt, an access may be of its class or of any narrower one:
 * only rules of its class or a wider one can allow it, and every deny rule that could mean it does.
 */
export type Doubt =
  | 'unidentified' // no byte was looked at yet
  | 'not-inspected' // TLS that nobody decrypted
  | 'detection-timeout'
  | 'malformed' // recognised, then unparseable
  | 'too-large' // past the size that is looked at
  | 'tunnel' // CONNECT, or an upgrade to what is not judged
  | 'http2' // HTTP/2 in cleartext, which this version does not take apart
  | 'ambiguous-name'; // two names where one must stand

/**
 * Tags by the names of resource-classes.md. A tag that the access does not have is absent.
 * Several values: the access reaches several resources, and all must be allowed.
 */
export type Tags = Readonly<Record<string, string>>;

export interface Access {
  readonly class: ClassName;
  readonly tags: Tags;
  readonly operation: Operation;
  readonly destination: Destination;
  readonly doubt: Doubt | undefined;
}

/** For classes whose accesses have no operation of their own (tcp, tls, udp): known, and none. */
export const NO_OPERATION: Operation = { name: undefined, type: undefined };
export const NO_TAGS: Tags = {};
