/** What the harness asks of each proxy, Sallyport among them. */
import type { Box } from '../network.ts';
import type { Shell } from '../shell.ts';

export interface Peer {
  readonly name: PeerName;
  /** What it records while it is measured, in words, for the table's footnotes. */
  readonly records: string;
  /** Starts it in `box`, where it judges what the shell's commands send. Throws when the machine lacks what it needs. */
  readonly open: (box: Box, place: Place) => Promise<OpenPeer>;
}

export type PeerName = 'direct' | 'HAProxy' | 'Envoy' | 'Squid' | 'Sallyport';

export interface Place {
  /** For its configuration and records; writable by any user. */
  readonly directory: string;
  readonly proxyCore: number;
  readonly loadCore: number;
}

export interface OpenPeer {
  readonly version: string;
  /** Behind the proxy, bound to the load's core. */
  readonly shell: Shell;
  /** The proxy's processes; none for `direct`. */
  readonly pids: () => readonly number[];
  /** The file of its records, in which every denial must show. */
  readonly recordFile: string | undefined;
  readonly close: () => Promise<void>;
}
