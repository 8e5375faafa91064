import { readFileSync } from 'node:fs';

import { describe, expect, test } from 'vitest';

import { parsePolicies } from '../api/parse.ts';
import { CLASSES } from '../model/classes.ts';
import { EXIT_STATUS } from '../platform/pure/errors.ts';
import { createMetrics } from '../report/metrics.ts';
import { createRegistry } from '../report/metrics-server.ts';
import { REASONS } from '../report/reasons.ts';

function readDoc(name: string): string {
  return readFileSync(new URL(`../../docs/${name}`, import.meta.url), 'utf8');
}

/** Cells of all rows of all tables, but heads and rules. */
function tableRows(text: string): readonly (readonly string[])[] {
  const rows = text.split('\n').filter((line) => line.startsWith('|'));
  return rows
    .filter((row, index) => !/^\|[-|]+$/.test(row) && !/^\|[-|]+$/.test(rows[index + 1] ?? ''))
    .map((row) =>
      row
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );
}

describe('the documents agree with the code:', () => {
  test('exit codes', () => {
    const documented = tableRows(readDoc('exit-codes.md')).flatMap(([status, code]) =>
      code?.startsWith('`') === true ? [[code.slice(1, -1), Number(status)] as const] : [],
    );
    expect(Object.fromEntries(documented)).toEqual(EXIT_STATUS);
    expect(documented).toHaveLength(Object.keys(EXIT_STATUS).length);
  });

  test('reasons', () => {
    const documented = tableRows(readDoc('reasons.md')).map(([reason, meaning, remedy]) => [
      reason?.slice(1, -1),
      { meaning, remedy },
    ]);
    const known = Object.entries(REASONS).map(([reason, { meaning, remedy }]) => [reason, { meaning, remedy }]);
    expect(Object.fromEntries(documented)).toEqual(Object.fromEntries(known));
  });

  test('every policy in the documents is valid', () => {
    for (const name of ['policy.md']) {
      const examples = [...readDoc(name).matchAll(/```yaml\n(.*?)```/gs)].map((match) => match[1] ?? '');
      expect(examples.length).toBeGreaterThan(0);
      for (const example of examples) expect(parsePolicies(example, name)).toMatchObject({ ok: true });
    }
  });

  test('every block and field of a policy', () => {
    const rows = tableRows(readDoc('policy.md'));
    for (const { block, fields, leading } of CLASSES) {
      if (block === undefined) continue;
      const documented = rows.find(([name]) => name === `\`${block}\``)?.[1] ?? '';
      expect([...documented.matchAll(/`(\w+)`/g)].map((match) => match[1]).sort(), block).toEqual(
        Object.keys(fields).sort(),
      );
      expect([...documented.matchAll(/\*\*`(\w+)`\*\*/g)].map((match) => match[1]).sort(), block).toEqual(
        [...leading].sort(),
      );
    }
  });

  test('metrics', async () => {
    const documented = tableRows(readDoc('metrics.md')).map(([name, kind]) => [name?.slice(1, -1), kind]);
    const registered = await createRegistry(() => createMetrics().read(0, '')).getMetricsAsJSON();
    expect(Object.fromEntries(documented)).toEqual(
      Object.fromEntries(registered.map(({ name, type }) => [name, type.toString()])),
    );
  });
});
