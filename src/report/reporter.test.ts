import { describe, expect, test } from 'vitest';

import type { Access, ClassName } from '../model/access.ts';
import type { Judgement, Permit, Reason, Verdict } from '../model/verdict.ts';
import { parseAddress } from '../platform/pure/address.ts';
import type { VerdictRecord } from './record.ts';
import { createReporter } from './reporter.ts';
import type { Reporter } from './reporter.ts';
import { createSummary } from './summary.ts';
import type { RecordSink } from './sink.ts';

const RULE = { kind: 'SecurityPolicy', policy: 'p', rule: 'allow[0]' } as const;
const allow: Judgement & { effect: 'allow' } = { effect: 'allow', reason: 'rule', by: RULE };
const deny = (reason: Reason): Judgement & { effect: 'deny' } => ({ effect: 'deny', reason, by: undefined });
const allowed: Verdict = { enforced: allow, shadow: allow, permit: {} as Permit };
const denied: Verdict = { enforced: deny('no-rule'), shadow: deny('no-rule'), permit: undefined };
const denyRule: Verdict = { enforced: deny('deny-rule'), shadow: deny('deny-rule'), permit: undefined };
const notified: Verdict = { enforced: allow, shadow: deny('no-rule'), permit: {} as Permit };

function access(name: string, className: ClassName = 'tls', port = 443): Access {
  const address = parseAddress('198.18.0.1');
  if (address === undefined) throw new Error('unparseable');
  return {
    class: className,
    tags: {},
    operation: { name: undefined, type: undefined },
    destination: { address, port, requestedName: name, names: [] },
    doubt: undefined,
  };
}

function setUp(
  recordAllowed = 1,
  random?: () => number,
): { reporter: Reporter; records: () => VerdictRecord[]; lines: string[] } {
  const lines: string[] = [];
  const sink: RecordSink = {
    write: (line) => lines.push(line),
    dropped: () => 7,
    close: () => Promise.resolve(),
    closeNow: () => undefined,
  };
  const reporter = createReporter({
    sink,
    recordAllowed,
    snapshotVersion: 'v1',
    suggest: (of) => `- tls: {hosts: ["${of.destination.requestedName ?? ''}"]}`,
    runId: 'run',
    nowMs: () => 0,
    ...(random !== undefined && { random }),
  });
  return { reporter, lines, records: () => lines.map((line) => JSON.parse(line) as VerdictRecord) };
}

describe('the reporter', () => {
  test('records every verdict under an id of its own', () => {
    const { reporter, records } = setUp();
    const ids = [
      reporter.report(access('a'), allowed),
      reporter.report(access('b'), denied),
      reporter.report(access('c'), notified),
    ];
    expect(ids).toEqual(['run-1', 'run-2', 'run-3']);
    expect(records().map(({ id, verdict }) => [id, verdict])).toEqual([
      ['run-1', 'allowed'],
      ['run-2', 'denied'],
      ['run-3', 'notified'],
    ]);
  });

  test('samples allowed accesses, and never violations', () => {
    let calls = 0;
    const { reporter, records } = setUp(0.5, () => (calls++ % 2 === 0 ? 0.4 : 0.6));
    for (let index = 0; index < 10; index += 1) reporter.report(access('a'), allowed);
    for (let index = 0; index < 10; index += 1) reporter.report(access('b'), denied);
    for (let index = 0; index < 10; index += 1) reporter.report(access('c'), notified);
    const count = (verdict: string): number => records().filter((record) => record.verdict === verdict).length;
    expect([count('allowed'), count('denied'), count('notified')]).toEqual([5, 10, 10]);
    expect(reporter.report(access('a'), allowed)).not.toBe('');
    expect(reporter.report(access('a'), allowed)).toBe('');
  });

  test('a rate of 0 records no allowed access', () => {
    const { reporter, lines } = setUp(0);
    reporter.report(access('a'), allowed);
    expect(lines).toEqual([]);
  });

  test('writes the remedy with the rule to add, where a rule helps', () => {
    const { reporter, records } = setUp();
    reporter.report(access('a.test'), denied);
    reporter.report(access('b.test'), denyRule);
    reporter.report(access('c.test'), allowed);
    const [byDefault, byRule, none] = records();
    expect(byDefault?.remedy).toContain('- tls: {hosts: ["a.test"]}');
    expect(byRule?.remedy).toMatch(/narrow or remove/);
    expect(byRule?.remedy).not.toContain('tls:');
    expect(none?.remedy).toBeUndefined();
  });

  test('keeps the last 1,000 violations, as they were', () => {
    const { reporter } = setUp();
    const first = reporter.report(access('a'), denied);
    reporter.snapshotChanged('v2');
    reporter.report(access('a'), allowed);
    expect(reporter.find(first)).toMatchObject({ id: 'run-1', version: 'v1' });
    expect(reporter.find('run-2')).toBeUndefined();
    for (let index = 0; index < 999; index += 1) reporter.report(access('b'), denied);
    expect(reporter.find(first)).toBeDefined();
    const last = reporter.report(access('b'), denied);
    expect(reporter.find(first)).toBeUndefined();
    expect(reporter.find(last)).toMatchObject({ version: 'v2' });
  });

  test('counts by class and verdict, also across readings', () => {
    const { reporter } = setUp(0);
    reporter.report(access('a'), allowed);
    reporter.report(access('a', 'http'), allowed);
    const counts = (): unknown =>
      reporter
        .readMetrics()
        .verdicts.map((entry) => [entry.class, entry.verdict, entry.reason, entry.rule, entry.count]);
    expect(counts()).toEqual([
      ['tls', 'allowed', 'rule', 'allow[0]', 1],
      ['http', 'allowed', 'rule', 'allow[0]', 1],
    ]);
    reporter.report(access('a', 'http'), allowed);
    reporter.report(access('a', 'http'), { ...allowed });
    reporter.report(access('a', 'http'), denied);
    expect(counts()).toEqual([
      ['tls', 'allowed', 'rule', 'allow[0]', 1],
      ['http', 'allowed', 'rule', 'allow[0]', 3],
      ['http', 'denied', 'no-rule', '', 1],
    ]);
  });

  test('labels stay bounded however many verdicts and words there are', () => {
    const { reporter } = setUp(0);
    for (let index = 0; index < 12_000; index += 1) {
      const by = { ...RULE, rule: `allow[${index}]` };
      reporter.report(access('a'), { enforced: { ...allow, by }, shadow: { ...allow, by }, permit: {} as Permit });
      reporter.upstreamError(`E${index}`);
      reporter.dns(`outcome${index}`);
    }
    const { verdicts, upstreamErrors, dnsQueries } = reporter.readMetrics();
    expect(verdicts.length).toBeLessThanOrEqual(10_001);
    expect(verdicts.reduce((sum, { count }) => sum + count, 0)).toBe(12_000);
    expect(upstreamErrors.size).toBe(65);
    expect(upstreamErrors.get('other')).toBe(12_000 - 64);
    expect(dnsQueries.size).toBe(65);
  });

  test('counts what else it is told', () => {
    const { reporter } = setUp();
    reporter.connectionOpened();
    reporter.connectionOpened();
    reporter.connectionClosed();
    reporter.bytes('upstream', 10);
    reporter.bytes('downstream', 20);
    reporter.bytes('downstream', 5);
    expect(reporter.readMetrics()).toMatchObject({
      connectionsOpen: 1,
      connectionsTotal: 2,
      bytesUpstream: 10,
      bytesDownstream: 25,
      recordsDropped: 7,
      snapshotVersion: 'v1',
    });
  });

  test('sums up by class, name, port, outcome and reason', () => {
    const { reporter } = setUp(0);
    for (let index = 0; index < 3; index += 1) reporter.report(access('a.test'), allowed);
    reporter.report(access('a.test', 'tls', 8443), allowed);
    reporter.report(access('b.test'), denied);
    reporter.report(access('b.test'), denyRule);
    const { lines, totals, unlisted } = reporter.summary();
    expect(totals).toEqual({ allowed: 4, denied: 2, notified: 0 });
    expect(unlisted).toBe(0);
    expect(
      lines.map((line) => [line.verdict, line.count, line.name, line.port, line.reason, line.suggestions]),
    ).toEqual([
      ['allowed', 3, 'a.test', 443, 'rule', []],
      ['allowed', 1, 'a.test', 8443, 'rule', []],
      ['denied', 1, 'b.test', 443, 'no-rule', ['- tls: {hosts: ["b.test"]}']],
      ['denied', 1, 'b.test', 443, 'deny-rule', []],
    ]);
  });

  test('calls a DNS query by the name it asks about', () => {
    const { reporter } = setUp(0);
    const query = (type: string): Access => {
      const of = access('ignored', 'dns', 53);
      return {
        ...of,
        tags: { 'dns.name': 'a.test', 'dns.type': type },
        destination: { ...of.destination, requestedName: undefined },
      };
    };
    for (const type of ['A', 'AAAA', 'A']) reporter.report(query(type), denied);
    expect(reporter.summary().lines).toMatchObject([{ name: 'a.test', count: 3, operations: ['A', 'AAAA'] }]);
  });

  test('keeps what differs of a violation for the rules to add, but not what an application made long', () => {
    const { reporter } = setUp(0);
    const paths: (string | undefined)[] = [];
    const withPath = (path: string): Access => ({ ...access('b.test', 'http', 80), tags: { 'http.path': path } });
    for (const path of ['/a', '/b', '/a', `/${'x'.repeat(5000)}`]) reporter.report(withPath(path), denied);
    for (let index = 0; index < 100; index += 1) reporter.report(withPath(`/${index}`), denied);
    const summary = createSummary();
    summary.add(withPath(`/${'x'.repeat(5000)}`), denied, 'denied');
    summary.read((of) => {
      paths.push(of.tags['http.path']);
      return undefined;
    });
    expect(paths).toEqual([undefined]);
    const [line] = reporter.summary().lines;
    expect(line?.count).toBe(104);
    expect(line?.suggestions).toHaveLength(1);
  });

  test('lists no more than 1,000 destinations, and counts the others', () => {
    const { reporter } = setUp(0);
    for (let index = 0; index < 1010; index += 1) reporter.report(access(`n${index}.test`), denied);
    reporter.report(access('n0.test'), denied);
    const { lines, unlisted, totals } = reporter.summary();
    expect(lines).toHaveLength(1000);
    expect(unlisted).toBe(10);
    expect(totals.denied).toBe(1011);
  });
});
