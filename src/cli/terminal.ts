/** What a command of the command line needs of the process, given by `cmd`: streams, environment, the box. */
import type { RunOptions } from '../api/run-options.ts';

export interface Terminal {
  readonly stdout: (text: string) => void;
  readonly stderr: (text: string) => void;
  /** All of standard input; throws where it is larger. */
  readonly readStdin: (maxBytes: number) => Promise<Buffer>;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  readonly stdoutIsTty: boolean;
  readonly stderrIsTty: boolean;
  readonly columns: number | undefined;
  readonly version: string;
  /** The engine around a command. Settles with the exit status of the command. */
  readonly run: (options: RunOptions) => Promise<number>;
}

export type OutputFormat = 'text' | 'json';
