import { describe, expect, test } from 'vitest';

import type { Summary, SummaryLine } from './summary.ts';
import { formatSummary, renderSummary, summaryToJson } from './summary-text.ts';

const PLAIN = { colour: false, columns: undefined };

function line(change: Partial<SummaryLine>): SummaryLine {
  return {
    verdict: 'allowed',
    class: 'tls',
    name: 'api.test',
    address: '198.18.0.1',
    port: 443,
    count: 1,
    reason: 'rule',
    by: undefined,
    operations: [],
    suggestions: [],
    ...change,
  };
}

function summary(lines: readonly SummaryLine[], unlisted = 0): Summary {
  const count = (verdict: string): number =>
    lines.filter((entry) => entry.verdict === verdict).reduce((sum, entry) => sum + entry.count, 0);
  return {
    lines,
    totals: { allowed: count('allowed'), denied: count('denied'), notified: count('notified') },
    unlisted,
  };
}

describe('the summary', () => {
  test('says what was reached, what was denied, and the rules to add', () => {
    const text = formatSummary(
      summary([
        line({ class: 'http', port: 80, count: 12, operations: ['GET', 'POST'] }),
        line({
          name: '2001:2::1',
          class: 'tcp',
          port: 9092,
          verdict: 'notified',
          reason: 'no-rule',
          suggestions: ['tcp: {cidrs: ["2001:2::1/128"]}'],
        }),
        line({
          name: 'evil.test',
          verdict: 'denied',
          reason: 'no-rule',
          suggestions: ['- tls: {hosts: ["evil.test"]}'],
        }),
        line({
          name: 'bad.test',
          verdict: 'denied',
          reason: 'deny-rule',
          by: { kind: 'SecurityPolicy', policy: 'shop/checkout', rule: 'deny[0]' },
        }),
      ]),
      PLAIN,
    );
    expect(text).toBe(`sallyport: 15 accesses: 12 allowed, 1 let through outside the policy, 2 denied

  allowed   12  http  api.test:80 (GET, POST)
  notified   1  tcp   [2001:2::1]:9092         no-rule
  denied     1  tls   evil.test:443            no-rule
  denied     1  tls   bad.test:443             deny-rule: deny[0] of shop/checkout

  deny-rule: a deny rule names it. A deny rule beats every allow rule: narrow or remove that rule if the access is wanted.

To allow them, add to the \`allow\` list of a policy:

  - tcp: {cidrs: ["2001:2::1/128"]}
  - tls: {hosts: ["evil.test"]}
`);
  });

  test('of nothing says so', () => {
    expect(formatSummary(summary([]), PLAIN)).toBe('sallyport: 0 accesses\n');
  });

  test('leaves out allowed look-ups, and shows denied ones by name', () => {
    const text = formatSummary(
      summary([
        line({ class: 'dns', name: 'api.test', port: 53 }),
        line({
          class: 'dns',
          name: 'secret.evil.test',
          port: 53,
          verdict: 'denied',
          reason: 'no-rule',
          operations: ['A'],
        }),
      ]),
      PLAIN,
    );
    expect(text).not.toContain('api.test');
    expect(text).toContain('secret.evil.test (A)  no-rule');
  });

  test('keeps to the width of the terminal, the ends of a name first', () => {
    const name = `${'a'.repeat(60)}.${'b'.repeat(60)}.test`;
    const text = formatSummary(summary([line({ name, verdict: 'denied', reason: 'no-rule' })]), {
      colour: false,
      columns: 60,
    });
    for (const row of text.split('\n').slice(1, 4)) expect(row.length).toBeLessThan(60);
    expect(text).toMatch(/a\.\.\..*b\.test:443/);
  });

  test('colours only where it is told to', () => {
    const lines = [line({ verdict: 'denied', reason: 'no-rule' })];
    expect(formatSummary(summary(lines), { colour: true, columns: 80 })).toContain('\u001b[31mdenied');
    expect(formatSummary(summary(lines), PLAIN)).not.toContain('\u001b');
  });

  test('prints no control character that came from the wire', () => {
    const hostile = '\u001b]0;owned\u0007\n  allowed';
    const text = formatSummary(
      summary([
        line({
          name: hostile,
          verdict: 'denied',
          reason: 'no-rule',
          operations: [hostile],
          suggestions: [`- x: "\u001b[2J"`],
        }),
      ]),
      PLAIN,
    );
    // eslint-disable-next-line no-control-regex -- control characters are what is looked for
    expect(text).not.toMatch(/[\u0000-\u0009\u000b-\u001f]/);
  });

  test('is bounded on the screen, and says what it left out', () => {
    const lines = Array.from({ length: 100 }, (_, index) => line({ name: `n${index}.test` }));
    const text = formatSummary(summary(lines, 5), PLAIN);
    expect(text.split('\n').length).toBeLessThan(40);
    expect(text).toContain('... and 70 more lines');
    expect(text).toContain('... and 5 accesses to further destinations');
  });

  test('as JSON lists everything', () => {
    const by = { kind: 'SecurityPolicy', policy: 'p', rule: 'deny[0]' } as const;
    expect(summaryToJson(summary([line({ verdict: 'denied', reason: 'deny-rule', by })]))).toMatchObject({
      totals: { denied: 1 },
      unlisted: 0,
      destinations: [{ verdict: 'denied', name: 'api.test', policy: 'p', rule: 'deny[0]' }],
    });
  });
});

describe('on exit', () => {
  const settings = {
    when: 'auto',
    output: 'text',
    isTty: false,
    observing: false,
    columns: undefined,
    env: {},
  } as const;
  const quiet = summary([line({})]);
  const violated = summary([line({ verdict: 'denied', reason: 'no-rule' })]);

  test.each([
    ['nothing to know, nobody looks', quiet, {}, false],
    ['something was denied', violated, {}, true],
    ['a terminal', quiet, { isTty: true }, true],
    ['watching', quiet, { observing: true }, true],
    ['asked for', quiet, { when: 'always' }, true],
    ['not wanted', violated, { when: 'never', isTty: true }, false],
  ] as const)('%s', (_what, of, change, shown) => {
    expect(renderSummary(of, { ...settings, ...change }) !== '').toBe(shown);
  });

  test('is one line where it is JSON', () => {
    const text = renderSummary(violated, { ...settings, output: 'json' });
    expect(text.split('\n')).toHaveLength(2);
    expect(JSON.parse(text)).toMatchObject({ totals: { denied: 1 } });
  });

  test.each([
    [{}, true],
    [{ NO_COLOR: '1' }, false],
    [{ NO_COLOR: '' }, true],
    [{ TERM: 'dumb' }, false],
  ])('colours of a terminal: %j', (env, coloured) => {
    expect(renderSummary(violated, { ...settings, isTty: true, columns: 80, env }).includes('\u001b')).toBe(coloured);
  });
});

describe('a command that was watched without a policy', () => {
  const line = {
    verdict: 'allowed',
    class: 'tls',
    name: 'api.test',
    address: '198.18.0.1',
    port: 443,
    count: 1,
    reason: 'default',
    by: undefined,
    operations: [],
    suggestions: ['- tls: {hosts: [api.test], ports: [443]}'],
  } as const;
  const summary = { totals: { allowed: 1, denied: 0, notified: 0 }, unlisted: 0, lines: [line] };
  const settings = { when: 'always', output: 'text', isTty: false, columns: undefined, env: {} } as const;

  test('gets the policy that allows what it did', () => {
    expect(renderSummary(summary, { ...settings, observing: true })).toContain(
      '  default: Deny\n  allow:\n  - tls: {hosts: [api.test], ports: [443]}',
    );
  });

  test('gets none where it was not watched', () => {
    expect(renderSummary(summary, { ...settings, observing: false })).not.toContain('SecurityPolicy');
  });
});
