/**
 * The command line. Input: arguments and the terminal. Output: the exit status; everything that went wrong is a message
 * that says what and what to do, with the status of its code (docs/exit-codes.md).
 */
import { CommanderError } from 'commander';

import { EXIT_STATUS, SallyportError } from '../platform/pure/errors.ts';
import { failureToJson, formatFailure } from './print.ts';
import { buildProgram } from './program.ts';
import type { Terminal } from './terminal.ts';

export async function main(args: readonly string[], terminal: Terminal): Promise<number> {
  let status = 0;
  const json = wantsJson(args);
  // what commander says of wrong usage is held back where JSON is asked for
  let said = '';
  const program = buildProgram(json ? { ...terminal, stderr: (text) => (said += text) } : terminal, (code) => {
    status = code;
  });
  if (args.length === 0) {
    program.outputHelp({ error: true });
    return EXIT_STATUS.usage;
  }
  try {
    await program.parseAsync(args, { from: 'user' });
    return status;
  } catch (error) {
    if (error instanceof CommanderError) {
      if (error.exitCode === 0) return 0;
      if (json) terminal.stderr(`${JSON.stringify(failureToJson(usageError(error, said)))}\n`);
      return EXIT_STATUS.usage;
    }
    const failure = asFailure(error);
    terminal.stderr(json ? `${JSON.stringify(failureToJson(failure))}\n` : formatFailure(failure));
    return EXIT_STATUS[failure.code];
  }
}

function usageError(error: CommanderError, said: string): SallyportError {
  const message = error.message.replace(/^error: /, '').trim();
  return new SallyportError('usage', message === '' ? said.trim() : message, 'Try --help.', error);
}

/** What is not a failure of ours is a defect: said without its stack, which helps nobody who did not write it. */
function asFailure(error: unknown): SallyportError {
  if (error instanceof SallyportError) return error;
  const message = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return new SallyportError(
    'internal',
    `internal error: ${message}`,
    'This is a defect of Sallyport. Please report it with the command and its input.',
    error,
  );
}

/** Before the arguments are parsed, as parsing them may be what fails. */
function wantsJson(args: readonly string[]): boolean {
  const end = args.indexOf('--');
  const own = end < 0 ? args : args.slice(0, end);
  return own.some((arg, index) => arg === '--output=json' || (arg === '--output' && own[index + 1] === 'json'));
}
