/** The demonstration inside its own network namespace: origins, the firewall with the workload in it, and the comparison. */
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { styleText } from 'node:util';
import { openNetworkConfigurator } from '../src/platform/io/netlink.ts';
import { parseAddress } from '../src/platform/pure/address.ts';
import { ADDRESSES, ATTEMPTS, SECRET, type Attempt } from './expected.ts';
import { startOrigins } from './origins.ts';

interface VerdictRecord {
  readonly verdict: string;
  readonly class: string;
  readonly reason: string;
  readonly tags?: Readonly<Record<string, string>>;
  readonly operation?: { readonly name?: string };
  readonly destination: { readonly address: string; readonly requestedName?: string };
}

const here = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

function makeNetwork(): void {
  const network = openNetworkConfigurator();
  network.raiseLoopback();
  for (const text of Object.values(ADDRESSES)) {
    const address = parseAddress(text);
    if (address !== undefined) network.addLoopbackAddress(address);
  }
  network.close();
}

function run(log: string): Promise<{ readonly status: number | null; readonly output: string }> {
  const args = [
    'run',
    '--policy',
    here('policy.yaml'),
    '--log',
    log,
    '--resolver',
    ADDRESSES.resolver,
    '--summary',
    'always',
  ];
  const child = spawn(
    process.execPath,
    [here('../cmd/sallyport.ts'), ...args, '--', process.execPath, here('workload.ts')],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  let output = '';
  child.stdout.setEncoding('utf8');
  child.stdout.on('data', (chunk: string) => (output += chunk));
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (status) => {
      resolve({ status, output });
    });
  });
}

function describes(record: VerdictRecord, attempt: Attempt): boolean {
  const { destination, tags = {}, operation } = record;
  const to = [destination.address, destination.requestedName, tags['dns.name'], tags['http.host']];
  return (
    record.class === attempt.record.class &&
    to.includes(attempt.record.to) &&
    (attempt.record.operation === undefined || operation?.name === attempt.record.operation)
  );
}

function paint(style: 'green' | 'red' | 'dim' | 'bold', text: string): string {
  return styleText(style, text, { stream: process.stdout });
}

makeNetwork();
const arrivals = await startOrigins();
const folder = mkdtempSync(join(tmpdir(), 'sallyport-demo-'));
const log = join(folder, 'verdicts.jsonl');
process.stdout.write(
  `${paint('bold', 'A command behind the firewall')}: sallyport run --policy demo/policy.yaml -- node demo/workload.ts\n\n`,
);
const { status, output } = await run(log);
const outcomes = new Map(
  output
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as { id: string; outcome: string })
    .map(({ id, outcome }) => [id, outcome]),
);
const records = readFileSync(log, 'utf8')
  .split('\n')
  .filter((line) => line !== '')
  .map((line) => JSON.parse(line) as VerdictRecord);
rmSync(folder, { recursive: true });

const faults: string[] = [];
process.stdout.write(`\n${paint('bold', 'What was tried, and what came of it')}\n`);
for (const attempt of ATTEMPTS) {
  const matching = records.filter((record) => describes(record, attempt));
  const found = matching.find((record) => record.verdict === attempt.verdict);
  const outcome = outcomes.get(attempt.id);
  const verdict = attempt.verdict === 'allowed' ? paint('green', 'allowed') : paint('red', 'denied ');
  process.stdout.write(`  ${verdict}  ${attempt.title} ${paint('dim', `(${outcome ?? 'nothing reported'})`)}\n`);
  if (found === undefined)
    faults.push(
      `${attempt.title}: no record says ${attempt.verdict} (${matching.length === 0 ? 'no record' : matching.map((record) => record.verdict).join(', ')})`,
    );
  if (outcome === undefined) faults.push(`${attempt.title}: the workload did not report it`);
}

// the attacker's servers, and the resolver, must not have heard a thing of what was denied
const leaked = arrivals.lines.filter(
  (line) =>
    line.includes(ADDRESSES.attacker) ||
    line.includes(ADDRESSES.attacker6) ||
    line.includes('attacker') ||
    line.includes('POST') ||
    line.includes('paste.test') ||
    line.toLowerCase().includes(SECRET.toLowerCase()),
);
for (const line of leaked) faults.push(`arrived at a server, and must not have: ${line}`);
const expectedArrivals = ATTEMPTS.filter(
  (attempt) => attempt.verdict === 'allowed' && attempt.record.class === 'http',
).length;
const gets = arrivals.lines.filter((line) => line.startsWith('http GET')).length;
if (gets < expectedArrivals) faults.push(`only ${gets} allowed requests arrived at the origin`);
if (status !== 0) faults.push(`sallyport run ended with status ${String(status)}`);

if (faults.length > 0) {
  process.stdout.write(`\n${paint('red', 'Not as expected:')}\n${faults.map((fault) => `  - ${fault}`).join('\n')}\n`);
  process.exit(1);
}
process.stdout.write(
  `\n${paint('green', 'As expected')}: the servers saw ${arrivals.lines.length} arrivals, all of them allowed. The policy is demo/policy.yaml.\n`,
);
process.exit(0);
