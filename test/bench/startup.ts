/** What a box costs to start: `sallyport run -- true` over `true`, taken in turn. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { POLICY } from './peers/sallyport.ts';
import { median } from './statistics.ts';

export interface Startup {
  readonly bareMs: number;
  readonly boxMs: number;
  readonly overMs: number;
  readonly runs: number;
}

export async function measureStartup(entry: string, directory: string, runs: number): Promise<Startup> {
  if (!existsSync(entry)) throw new Error(`${entry} does not exist`);
  const policy = join(directory, 'startup-policy.yaml');
  writeFileSync(policy, POLICY);
  const box = [process.execPath, entry, 'run', '--policy', policy, '--', 'true'];
  await timeMs(box); // the first reads the files from disk
  const bare: number[] = [];
  const boxed: number[] = [];
  for (let run = 0; run < runs; run++) {
    bare.push(await timeMs(['true']));
    boxed.push(await timeMs(box));
  }
  const over = boxed.map((ms, run) => ms - (bare[run] ?? NaN));
  return { bareMs: median(bare), boxMs: median(boxed), overMs: median(over), runs };
}

async function timeMs(argv: readonly string[]): Promise<number> {
  const [program = '', ...rest] = argv;
  const from = process.hrtime.bigint();
  const child = spawn(program, rest, { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
  const [code] = (await once(child, 'exit')) as [number | null];
  const ms = Number(process.hrtime.bigint() - from) / 1e6;
  if (code !== 0) throw new Error(`${argv.join(' ')} failed (${String(code)}): ${said.trim()}`);
  return ms;
}
