import { describe, expect, it } from 'vitest';
import { parsePolicies } from './parse.ts';

const GOOD = `apiVersion: sallyport.dev/v1alpha1
kind: SecurityPolicy
metadata: {name: p, namespace: shop}
spec:
  podSelector: {}
  default: Deny
  allow:
  - tls: {hosts: [a.test]}
`;

/** `source path: message` of each problem. */
function problemsOf(text: string): string[] {
  const result = parsePolicies(text, 'p.yaml');
  return result.ok ? [] : result.problems.map(({ source, path, message }) => `${source ?? ''} ${path}: ${message}`);
}

const named = (name: string, namespace = 'shop'): string =>
  GOOD.replace('name: p,', `name: ${name},`).replace('shop', namespace);

describe('policies from text', () => {
  it('come from YAML, one or several documents, and from JSON', () => {
    expect(parsePolicies(GOOD, 'p.yaml')).toMatchObject({ ok: true, value: [{ metadata: { name: 'p' } }] });
    expect(parsePolicies(`---\n${GOOD}---\n${named('q')}---\n# nothing\n`, 'p.yaml')).toMatchObject({
      ok: true,
      value: [{}, {}],
    });
    const json = {
      apiVersion: 'sallyport.dev/v1alpha1',
      kind: 'SecurityPolicy',
      metadata: { name: 'p' },
      spec: { podSelector: {}, default: 'Deny' },
    };
    expect(parsePolicies(JSON.stringify(json, undefined, 2), 'p.json')).toMatchObject({ ok: true, value: [{}] });
    expect(parsePolicies(`${GOOD}---\n---\n${named('q')}`, 'p.yaml')).toMatchObject({ ok: true, value: [{}, {}] });
    expect(parsePolicies('', 'p.yaml')).toMatchObject({ ok: true, value: [] });
    expect(parsePolicies('# a comment\n', 'p.yaml')).toMatchObject({ ok: true, value: [] });
  });

  it('come with their warnings, and where they stand', () => {
    const result = parsePolicies(
      GOOD.replace('tls: {hosts: [a.test]}', 'tcp: {cidrs: [0.0.0.0/0], hosts: ["*"]}'),
      'p.yaml',
    );
    expect(result).toMatchObject({
      ok: true,
      warnings: [{ path: 'spec.allow[0].tcp.cidrs[0]', source: 'p.yaml:8:19' }],
    });
  });

  it.each<[string, string, RegExp]>([
    ['a bad value', GOOD.replace('a.test', 'a..test'), /^p\.yaml:8:19 spec\.allow\[0\]\.tls\.hosts\[0\]: /],
    [
      'a missing field: what is around it',
      GOOD.replace('  default: Deny\n', ''),
      /^p\.yaml:4:1 spec\.default: it is required/,
    ],
    [
      'a bad value in the second document',
      `${named('q')}---\n${GOOD.replace('Deny', 'deny')}`,
      /^p\.yaml:15:3 spec\.default: /,
    ],
    ['a misspelt field', GOOD.replace('hosts', 'hots'), /^p\.yaml:8:11 spec\.allow\[0\]\.tls\.hots: /],
    [
      'a key twice',
      GOOD.replace('  default: Deny', '  default: Deny\n  default: Allow'),
      /^p\.yaml:7:3 : the key \w+ is there twice/,
    ],
    [
      'a key twice in JSON',
      '{"kind": "SecurityPolicy", "kind": "ClusterSecurityPolicy"}',
      /^p\.yaml:1:\d+ : the key \w+ is there twice/,
    ],
    ['what is no YAML', 'a: [1, 2\nb: }', /^p\.yaml:\d+:\d+ : /],
    ['a tab for indentation', 'a:\n\tb: 1', /^p\.yaml:2:\d+ : /],
    ['an alias', 'a: &x [1]\nb: *x', /^p\.yaml:2:4 : aliases/],
    ['an unknown tag', 'a: !!js/function "f"', /^p\.yaml:1:4 : /],
    ['a merge key', `${GOOD}  <<: {deny: []}\n`, /^p\.yaml:9:3 spec\."<<": /],
    ['a key that is no text', '1: a', /^p\.yaml : a key is not a plain text/],
    ['one policy twice', `${GOOD}---\n${GOOD}`, /^p\.yaml:12:12 metadata\.name: SecurityPolicy p is there twice/],
    ['a list of policies', '- a\n- b', /^p\.yaml:1:1 : /],
    ['a text', 'hello', /^p\.yaml:1:1 : /],
    ['too large a file', `# ${'x'.repeat(2 * 1024 * 1024)}\n${GOOD}`, /^p\.yaml : the file is larger/],
    ['too many documents', '---\na: 1\n'.repeat(1001), /^p\.yaml : there are more than 1000 documents/],
  ])('%s', (_title, text, expected) => {
    expect(problemsOf(text)).toContainEqual(expect.stringMatching(expected));
  });

  it('of one name may stand in several namespaces, and as another kind', () => {
    const cluster = named('p').replace('SecurityPolicy', 'ClusterSecurityPolicy').replace(', namespace: shop', '');
    expect(problemsOf(`${GOOD}---\n${named('p', 'other')}---\n${cluster}`)).toEqual([]);
  });

  it('tell all problems of all documents', () => {
    const found = problemsOf(
      `${named('a').replace('Deny', 'deny')}---\n${named('b').replace('a.test', 'a..test')}---\na: [\n`,
    );
    expect(found.map((text) => text.split(' ')[1])).toEqual(
      ['spec.default:', 'spec.allow[0].tls.hosts[0]:', ':', ':'].slice(0, found.length),
    );
    expect(found.length).toBeGreaterThan(2);
  });

  it('are refused in no time where a few lines stand for gigabytes', () => {
    const levels = Array.from(
      { length: 30 },
      (_, level) => `l${level + 1}: &l${level + 1} [${`*l${level}, `.repeat(10)}]`,
    );
    const start = performance.now();
    expect(problemsOf(`l0: &l0 x\n${levels.join('\n')}`)).toContainEqual(expect.stringContaining('aliases'));
    expect(performance.now() - start).toBeLessThan(2_000);
  });

  it.each([250, 700, 20_000])('are refused where they are nested %i deep', (depth) => {
    const found = problemsOf(`a: ${'['.repeat(depth)}${']'.repeat(depth)}`);
    expect(found).toContainEqual(expect.stringContaining('nested deeper than 100 levels'));
    expect(problemsOf(`${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`)).toContainEqual(
      expect.stringContaining('nested deeper'),
    );
    const open = problemsOf(`a: ${'['.repeat(depth)}`);
    expect(open.length).toBeGreaterThan(0);
    expect(open.length).toBeLessThan(30);
  });

  it('are never taken for what an object inherits', () => {
    expect(problemsOf(GOOD.replace('  allow:', '  __proto__: {onViolation: Notify}\n  allow:'))).toContainEqual(
      expect.stringContaining('spec.__proto__: '),
    );
  });

  it('keep values as they are written: no, 1e3 and 0x10 are no booleans of YAML 1.1', () => {
    expect(problemsOf(GOOD.replace('a.test', 'no'))).toEqual([]);
    expect(problemsOf(GOOD.replace('[a.test]', '[a.test], ports: [0x50]'))).toEqual([]);
    expect(problemsOf(GOOD.replace('[a.test]', '[a.test], ports: [010]'))).toEqual([]);
  });
});
