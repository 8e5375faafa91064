/** What `sallyport run` was asked for, checked and parsed. The command line writes it, the box reads it. */
import type { Endpoint, ListenAddress } from '../platform/pure/endpoint.ts';
import type { OnViolation, Policy } from './policy.ts';

export interface RunOptions {
  /** All of them select the command's labels, and `--on-violation` is already applied to them. */
  readonly policies: readonly Policy[];
  /** As given; where there is no policy it is what happens to every access. */
  readonly onViolation: OnViolation | undefined;
  /** What happens to an access that no policy names. */
  readonly installDefault: OnViolation;
  /** Path of the file that records are appended to, `-` for standard output. */
  readonly log: string | undefined;
  /** Share of the allowed accesses that are recorded, 0 to 1. */
  readonly logAllowedRate: number;
  readonly metrics: ListenAddress | undefined;
  /** Empty: those of the host. */
  readonly resolvers: readonly Endpoint[];
  readonly labels: Readonly<Record<string, string>>;
  /** Absolute paths of sockets that stay visible inside. */
  readonly allowSockets: readonly string[];
  readonly summary: 'auto' | 'always' | 'never';
  readonly output: 'text' | 'json';
  /** Absolute path of the file to execute; it exists and may be executed. */
  readonly executable: string;
  /** The command as it was given, its name first. */
  readonly command: readonly [string, ...string[]];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  /** Whether standard error is a terminal. */
  readonly isTty: boolean;
}
