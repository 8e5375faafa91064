#!/usr/bin/env node
/** The command line: the process's arguments, environment and streams in, its exit status out. */
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';

import packageJson from '../package.json' with { type: 'json' };
import { main } from '../src/cli/main.ts';
import { SallyportError } from '../src/platform/pure/errors.ts';

/** Built, it stands beside this file under the same name. */
const BOX_INIT = fileURLToPath(new URL(`box-init${extname(import.meta.url)}`, import.meta.url));

function readStdin(maxBytes: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    process.stdin.on('data', (chunk: Buffer) => {
      chunks.push(chunk);
      size += chunk.length;
      if (size <= maxBytes) return;
      process.stdin.destroy();
      reject(
        new SallyportError(
          'policy-invalid',
          `standard input is larger than ${maxBytes} bytes`,
          'Split it into several files.',
        ),
      );
    });
    process.stdin.on('end', () => {
      resolve(Buffer.concat(chunks));
    });
    process.stdin.on('error', reject);
  });
}

for (const stream of [process.stdout, process.stderr]) {
  // whoever read it has gone, as `head` does: there is nobody to tell
  stream.on('error', () => undefined);
}

const status = await main(process.argv.slice(2), {
  stdout: (text) => process.stdout.write(text),
  stderr: (text) => process.stderr.write(text),
  readStdin,
  env: process.env,
  cwd: process.cwd(),
  stdoutIsTty: process.stdout.isTTY,
  stderrIsTty: process.stderr.isTTY,
  columns: process.stdout.columns,
  version: packageJson.version,
  run: async (options) => {
    const { runCommand } = await import('../src/run/run.ts');
    return runCommand(options, [process.execPath, '--disable-sigusr1', BOX_INIT]);
  },
});

// standard output and error are written by now; a connection that its server keeps open must not keep us
process.exit(status);
