/**
 * A shell inside a box: the harness writes it commands and reads what they print. The load thus runs behind each
 * proxy in the same way, whether the box is a plain network namespace or `sallyport run -- sh`.
 * One command at a time; a shell that ends makes the pending command fail with what it said.
 */
import { createInterface } from 'node:readline';
import type { Running } from './processes.ts';

export interface Shell {
  /** Runs `argv`, waits, and gives its stdout. `onLine` sees each line as it comes; what it returns is written to stdin. */
  readonly run: (argv: readonly string[], onLine?: (line: string) => Promise<string | undefined>) => Promise<string>;
  readonly close: () => Promise<void>;
}

const quote = (word: string): string => `'${word.replaceAll("'", String.raw`'\''`)}'`;

export function openShell(running: Running): Shell {
  const { stdin, stdout } = running.child;
  if (stdin === null || stdout === null) throw new Error('a shell needs pipes');
  stdin.on('error', () => undefined); // its end is told by the process itself
  let sequence = 0;
  let onText: ((line: string) => void) | undefined;
  const lines = createInterface({ input: stdout });
  lines.on('line', (line) => onText?.(line));

  return {
    run: (argv, onLine) =>
      new Promise((resolve, reject) => {
        if (running.ended()) {
          reject(new Error(`the shell of the box has ended: ${running.said().trim()}`));
          return;
        }
        const mark = `@@${String(++sequence)} `;
        const output: string[] = [];
        const onEnd = (): void => {
          reject(new Error(`the shell of the box ended during ${argv.join(' ')}: ${running.said().trim()}`));
        };
        running.child.once('exit', onEnd);
        onText = (line) => {
          if (!line.startsWith(mark)) {
            output.push(line);
            void onLine?.(line).then((answer) => {
              if (answer !== undefined) stdin.write(answer);
            }, reject);
            return;
          }
          running.child.off('exit', onEnd);
          onText = undefined;
          const code = line.slice(mark.length);
          const text = output.join('\n');
          if (code === '0') resolve(text);
          else reject(new Error(`${argv.join(' ')} failed (${code}) in the box: ${text} ${running.said().trim()}`));
        };
        const input = onLine === undefined ? ' </dev/null' : '';
        stdin.write(`${argv.map(quote).join(' ')}${input}; echo "${mark}$?"\n`);
      }),
    close: async () => {
      lines.close();
      stdin.end(); // a shell without input ends, and with it the box that it was the command of
      await running.close();
    },
  };
}
