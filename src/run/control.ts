/**
 * What the engine outside and the init inside the box say to each other over one SOCK_SEQPACKET pair: a JSON message
 * each, descriptors attached where a message says so. When either end goes, the other ends too.
 */
import { receiveDescriptors, sendDescriptors, SyscallError, whenReadable } from '../platform/io/libc.ts';

/** Signals that pass from outside to the command. Node or the kernel keeps the rest. */
export const PASSED_SIGNALS = [
  'SIGHUP',
  'SIGINT',
  'SIGQUIT',
  'SIGTERM',
  'SIGUSR1',
  'SIGUSR2',
  'SIGCONT',
  'SIGWINCH',
  'SIGALRM',
] as const;

/** How the box is to be made. Passed to the init on a pipe, because an environment may be larger than a message. */
export interface BoxPlan {
  /** Absolute path of the program; `command` is its argument vector, name first. */
  readonly executable: string;
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly searchPath: string;
  readonly packetFilter: 'nft' | 'iptables' | undefined;
  /** The box's own addresses, and those that stand for the resolver and the host's loopback. Text forms. */
  readonly addresses: { readonly 4: string; readonly 6: string | undefined };
  /** Ranges that the box has a way to over IPv6. */
  readonly ipv6Routes: readonly string[];
  readonly resolvConf: { readonly path: string; readonly text: string } | undefined;
  readonly hiddenFolders: readonly string[];
  readonly hiddenSockets: readonly string[];
}

export type FromInit =
  /** Descriptors: TCP listener, UDP receiver and raw ICMP socket for IPv4, then for IPv6 where there is one, then the drop log if any. */
  | { readonly type: 'ready'; readonly dropLog: boolean }
  | { readonly type: 'failed'; readonly code: string; readonly message: string; readonly remedy: string }
  | { readonly type: 'exited'; readonly code: number | null; readonly signal: string | null }
  /** One descriptor: a socket that sends in the name of that address; none when it could not be made. */
  | { readonly type: 'answer-socket'; readonly request: number };

export type ToInit =
  | { readonly type: 'start' }
  | { readonly type: 'signal'; readonly signal: string }
  | { readonly type: 'answer-socket'; readonly request: number; readonly address: string; readonly port: number };

/** Of what a command in the box can bring about (many answers at once, its own end) nothing may be a fault of ours. */
const UNSENT: ReadonlySet<string> = new Set(['EAGAIN', 'EPIPE', 'ECONNRESET', 'ENOBUFS', 'ENOMEM', 'ETOOMANYREFS']);

export interface ControlChannel<In, Out> {
  /** Whether the message is on its way: not where the other end is gone, or has not read so many that no more fit. */
  send(message: Out, descriptors?: readonly number[]): boolean;
  readonly close: () => void;
  readonly brand?: In;
}

/** Calls `onMessage` for each, and `onClosed` once when the other end is gone. Takes the descriptor over. */
export function openControlChannel<In, Out>(
  fd: number,
  onMessage: (message: In, descriptors: readonly number[]) => void,
  onClosed: () => void,
): ControlChannel<In, Out> {
  let open = true;
  const stop = whenReadable(fd, () => {
    while (open) {
      const received = receiveDescriptors(fd);
      if (received === undefined) return;
      if (received === 'closed') {
        close();
        onClosed();
        return;
      }
      onMessage(JSON.parse(received.payload.toString()) as In, received.descriptors);
    }
  });

  function close(): void {
    if (!open) return;
    open = false;
    stop();
  }

  return {
    send(message, descriptors = []) {
      if (!open) return false;
      try {
        sendDescriptors(fd, Buffer.from(JSON.stringify(message)), descriptors);
        return true;
      } catch (error) {
        if (error instanceof SyscallError && UNSENT.has(error.code)) return false;
        throw error;
      }
    },
    close,
  };
}
