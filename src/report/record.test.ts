import { describe, expect, test } from 'vitest';

import type { Access } from '../model/access.ts';
import type { Judgement, Permit, Verdict } from '../model/verdict.ts';
import { parseAddress } from '../platform/pure/address.ts';
import { buildRecord, MAX_NAMES, MAX_TEXT, outcomeOf, serializeRecord } from './record.ts';
import type { VerdictRecord } from './record.ts';

const PERMIT = {} as Permit;
const RULE = { kind: 'SecurityPolicy', policy: 'shop/checkout', rule: 'allow[0]' } as const;
const ALLOW = { effect: 'allow', reason: 'rule', by: RULE } as const satisfies Judgement;
const DENY = { effect: 'deny', reason: 'no-rule', by: undefined } as const satisfies Judgement;
const META = { id: 'k3v9u2ap-1f', timeMs: Date.UTC(2026, 0, 2, 3, 4, 5, 6), version: 'v1', remedy: undefined };

const allowed: Verdict = { enforced: ALLOW, shadow: ALLOW, permit: PERMIT };
const denied: Verdict = { enforced: DENY, shadow: DENY, permit: undefined };
const notified: Verdict = {
  enforced: ALLOW,
  shadow: { ...DENY, by: { ...RULE, policy: 'shop/trial' } },
  permit: PERMIT,
};
const wouldPass: Verdict = { enforced: DENY, shadow: ALLOW, permit: undefined };

function access(change: Partial<Access> = {}): Access {
  const address = parseAddress('198.18.0.1');
  if (address === undefined) throw new Error('unparseable');
  return {
    class: 'http',
    tags: { 'http.path': '/v1', 'http.method': 'GET' },
    operation: { name: 'GET', type: 'Read' },
    destination: { address, port: 80, requestedName: 'api.test', names: ['api.test'] },
    doubt: undefined,
    ...change,
  };
}

function line(of: Access, verdict: Verdict = denied): string {
  return serializeRecord(buildRecord(of, verdict, META));
}

describe('a record', () => {
  test('is one line of JSON with its keys always in the same order', () => {
    expect(line(access(), allowed)).toBe(
      '{"time":"2026-01-02T03:04:05.006Z","id":"k3v9u2ap-1f","verdict":"allowed","reason":"rule","policy":"shop/checkout",' +
        '"policyKind":"SecurityPolicy","rule":"allow[0]","class":"http","operation":{"name":"GET","type":"Read"},' +
        '"destination":{"address":"198.18.0.1","port":80,"requestedName":"api.test","names":["api.test"]},' +
        '"tags":{"http.method":"GET","http.path":"/v1"},"version":"v1"}\n',
    );
  });

  test('leaves out what nobody knows', () => {
    const record = buildRecord(
      access({
        operation: { name: undefined, type: undefined },
        destination: { ...access().destination, requestedName: undefined },
      }),
      denied,
      META,
    );
    expect(Object.keys(record)).toEqual([
      'time',
      'id',
      'verdict',
      'reason',
      'class',
      'operation',
      'destination',
      'tags',
      'version',
    ]);
    expect(record.operation).toEqual({});
    expect(Object.keys(record.destination)).toEqual(['address', 'port', 'names']);
  });

  test.each([
    [allowed, 'allowed', 'rule', undefined],
    [denied, 'denied', 'no-rule', undefined],
    [notified, 'notified', 'no-rule', 'would be denied'],
    [wouldPass, 'denied', 'no-rule', 'would be allowed'],
  ] as const)('tells enforced from shadow: %#', (verdict, outcome, reason, shadow) => {
    const record = buildRecord(access(), verdict, META);
    expect(outcomeOf(verdict)).toBe(outcome);
    expect(record).toMatchObject({ verdict: outcome, reason });
    expect(record.shadow).toBe(shadow);
  });

  test('of a violation that is only notified names the policy that would deny it', () => {
    expect(buildRecord(access(), notified, META).policy).toBe('shop/trial');
  });

  test.each([
    'a\nb',
    'a\r\nb',
    'a\u2028b',
    'a\u0085b',
    '\u001b[2Jb',
    'a\u202eb',
    'a\ud800b',
    '"},{"',
    'a\u0000b',
    '\u007f',
  ])('stays one printable line that parses back, whatever a path holds: %j', (path) => {
    const text = line(access({ tags: { 'http.path': path } }));
    // eslint-disable-next-line no-control-regex -- control characters are what is looked for
    expect(text.slice(0, -1)).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e]/);
    expect(text.split('\n')).toHaveLength(2);
    const parsed = JSON.parse(text) as VerdictRecord;
    expect(parsed.tags['http.path']).toBe(path);
    expect(parsed.verdict).toBe('denied');
  });

  test('is bounded', () => {
    const long = 'x'.repeat(1_000_000);
    const names = Array.from({ length: 1000 }, (_, index) => `n${index}.test`);
    const record = buildRecord(
      access({ tags: { 'http.path': long }, destination: { ...access().destination, requestedName: long, names } }),
      denied,
      META,
    );
    expect(record.tags['http.path']).toBe(`${'x'.repeat(MAX_TEXT)}... (${1_000_000 - MAX_TEXT} more)`);
    expect(record.destination.names).toHaveLength(MAX_NAMES);
    expect(serializeRecord(record).length).toBeLessThan(10_000);
  });

  test('carries the trace id of the request, and only a valid one', () => {
    const trace = (traceparent: string): string | undefined =>
      buildRecord(access({ tags: { traceparent } }), denied, META).trace;
    expect(trace('00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01')).toBe('4bf92f3577b34da6a3ce929d0e0e4736');
    expect(trace(`00-${'0'.repeat(32)}-00f067aa0ba902b7-01`)).toBeUndefined();
    expect(trace('nonsense')).toBeUndefined();
    expect(buildRecord(access({ tags: { traceparent: 'x' } }), denied, META).tags).toEqual({});
  });
});
