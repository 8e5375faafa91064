/** `sallyport why`: the story of one decision, from the record that its id leads to. */
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';

import { SallyportError } from '../platform/pure/errors.ts';
import { printableLine, printableText } from '../platform/pure/printable.ts';
import { REASONS } from '../report/reasons.ts';
import type { VerdictRecord } from '../report/record.ts';
import { formatJson } from './print.ts';
import type { OutputFormat, Terminal } from './terminal.ts';

/** Throws `input-missing` where the log cannot be read or holds no such record. */
export async function why(id: string, logPath: string, output: OutputFormat, terminal: Terminal): Promise<number> {
  const record = await findRecord(id, logPath);
  if (record === undefined) {
    throw new SallyportError(
      'input-missing',
      `no record with the id ${id} in ${logPath}`,
      'Ids stand in denials, and as `id` in records. Allowed accesses are in the log only as often as --log-allowed says.',
    );
  }
  terminal.stdout(output === 'json' ? formatJson({ ...record, ...explanationOf(record) }) : tell(record));
  return 0;
}

/** Lines that are not records are passed over: a log may be shared, or end in the middle of a line. */
async function findRecord(id: string, path: string): Promise<VerdictRecord | undefined> {
  const stream = createReadStream(path);
  const lines = createInterface({ input: stream, crlfDelay: Infinity });
  try {
    for await (const line of lines) {
      if (!line.includes(id)) continue;
      const record = parseRecord(line);
      if (record?.id === id) return record;
    }
    return undefined;
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : String(cause);
    const what = code === 'EISDIR' ? 'it is a directory' : code === 'ENOENT' ? 'there is no such file' : code;
    throw new SallyportError(
      'input-missing',
      `cannot read ${path}: ${what}`,
      'Give --log the file that `sallyport run --log` wrote.',
      cause,
    );
  } finally {
    lines.close();
    stream.destroy();
  }
}

function parseRecord(line: string): VerdictRecord | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return isRecord(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function isRecord(value: unknown): value is VerdictRecord {
  if (!isObject(value) || !isObject(value['destination']) || !isObject(value['operation']) || !isObject(value['tags']))
    return false;
  if (value['verdict'] !== 'allowed' && value['verdict'] !== 'denied' && value['verdict'] !== 'notified') return false;
  const texts = [value['id'], value['time'], value['reason'], value['class'], value['version']];
  return texts.every((text) => typeof text === 'string') && Array.isArray(value['destination']['names']);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

function explanationOf(record: VerdictRecord): { meaning: string; advice: string } {
  const known = Object.entries(REASONS).find(([reason]) => reason === record.reason)?.[1];
  return {
    meaning: known?.meaning ?? `of a reason that this version does not know (${record.reason})`,
    advice: record.remedy ?? known?.remedy ?? '',
  };
}

function tell(record: VerdictRecord): string {
  const { destination, operation } = record;
  const name = destination.requestedName ?? destination.names[0];
  const { meaning, advice } = explanationOf(record);
  const rule =
    record.rule === undefined ? undefined : `${record.rule} of ${record.policyKind ?? 'policy'} ${record.policy ?? ''}`;
  const others = destination.names.filter((other) => other !== name);
  const rows: (readonly [string, string | undefined])[] = [
    ['time', record.time],
    [
      'access',
      [record.class, operation.name, operation.type === undefined ? undefined : `(${operation.type})`]
        .filter((part) => part !== undefined)
        .join(' '),
    ],
    ['name', name],
    ['names', others.length === 0 ? undefined : others.join(', ')],
    ['address', destination.port === 0 ? destination.address : `${destination.address} port ${destination.port}`],
    ...Object.entries(record.tags).map(([tag, value]) => [tag, value] as const),
    ['rule', rule],
    ['reason', record.reason],
    ['shadow', record.shadow],
    ['trace', record.trace],
    ['policy version', record.version],
  ];
  const shown = rows.filter((row): row is readonly [string, string] => row[1] !== undefined);
  const width = Math.max(...shown.map(([label]) => label.length));
  const facts = shown
    .map(([label, value]) => `  ${printableLine(label).padEnd(width)}  ${printableLine(value)}\n`)
    .join('');
  const effect = {
    allowed: 'allowed',
    denied: 'denied',
    notified: 'let through, though a policy that only notifies denies it',
  }[record.verdict];
  return `${record.id}: ${effect}, because ${meaning}.\n\n${facts}\n${printableText(advice)}\n`;
}
