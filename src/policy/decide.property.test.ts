/**
 * What holds for all policies and accesses, tried on many made from a small world, so that they often meet. Two references
 * stand beside the indexed `decide`: the linear one of explain.ts, and the scopes of DESIGN written once more in plain words.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import type { OnViolation, Policy, Rule } from '../api/policy.ts';
import { validatePolicy } from '../api/validate.ts';
import { NO_OPERATION, type Access, type Doubt } from '../model/access.ts';
import { CLASSES } from '../model/classes.ts';
import type { Effect } from '../model/verdict.ts';
import { parseAddress, type Address } from '../platform/pure/address.ts';
import { compileSnapshot } from './compile.ts';
import { decide } from './decide.ts';
import { effectOf, explainAccess } from './explain.ts';
import { outlook } from './outlook.ts';

const SEED = { seed: 20_261_121, numRuns: 600 };

// ── a small world ────────────────────────────────────────────────────────────────────────────────────────────────

const NAMES = ['a.test', 'b.test', 'x.a.test', 'y.x.a.test', '192.0.2.1'];
const ADDRESSES = ['192.0.2.1', '192.0.2.2', '10.0.0.1', '127.0.0.1', '2001:db8::1'].flatMap(
  (text) => parseAddress(text) ?? [],
);

const some = <T>(...values: readonly T[]): fc.Arbitrary<T[]> =>
  fc.subarray([...values], { minLength: 1, maxLength: 2 });
const maybe = <T>(key: string, values: fc.Arbitrary<T>): fc.Arbitrary<Record<string, T>> =>
  fc.option(values, { nil: undefined }).map((value) => (value === undefined ? {} : { [key]: value }));
const together = (...parts: readonly fc.Arbitrary<object>[]): fc.Arbitrary<object> =>
  fc.tuple(...parts).map((all) => Object.assign({}, ...all) as object);

const hosts = some(
  '*',
  'a.test',
  'b.test',
  '*.a.test',
  '**.a.test',
  'x*.a.test',
  '**',
  '192.0.2.1',
  '10.0.0.1',
  '*.test',
);
const cidrs = some('0.0.0.0/0', '192.0.2.0/24', '192.0.2.2', '10.0.0.0/8', '127.0.0.1/32', '2001:db8::/32', '::/0');
const except = some('192.0.2.2', '10.0.0.0/8', 'b.test', '*.a.test');
const ports = some<number | string>(80, 443, '1-100');
const where = [maybe('ports', ports), maybe('cidrs', cidrs)] as const;
const leading = fc.oneof(
  hosts.map((value) => ({ hosts: value })),
  cidrs.map((value) => ({ cidrs: value })),
);
const blockOf = (name: string, ...parts: readonly fc.Arbitrary<object>[]): fc.Arbitrary<Rule> =>
  together(...parts).map((block) => ({ [name]: block }));

const rule: fc.Arbitrary<Rule> = fc.oneof(
  blockOf(
    'http',
    hosts.map((value) => ({ hosts: value })),
    maybe('paths', some('*', '/v1/**', '/v1/*', '/')),
    maybe('methods', some('GET', 'POST')),
    maybe('operations', some('Read', 'Write')),
    ...where,
  ),
  blockOf(
    'http',
    some('http://a.test/v1/*', 'http://*.a.test', 'http://192.0.2.1:443/').map((value) => ({ urls: value })),
  ),
  blockOf(
    'tls',
    hosts.map((value) => ({ hosts: value })),
    ...where,
  ),
  blockOf('tcp', leading, maybe('ports', ports), maybe('except', except)),
  blockOf('udp', leading, maybe('ports', ports), maybe('except', except)),
  blockOf(
    'icmp',
    cidrs.map((value) => ({ cidrs: value })),
    maybe('types', some<string | number>(8, '0')),
  ),
  blockOf(
    'dns',
    some('*', 'a.test', '**.a.test').map((value) => ({ names: value })),
    maybe('types', some('A', 'TXT')),
  ),
  blockOf(
    'raw',
    fc.constantFrom('HTTP', 'tls', 'websocket', '*').map((name) => ({ class: name })),
  ),
  blockOf(
    'raw',
    fc.constant({ class: 'HTTP' }),
    some('GET', 'POST').map((value) => ({ tags: { 'operation.type': value, 'http.host': 'a.test' } })),
  ),
);

const onViolation = fc.constantFrom<OnViolation>('Block', 'Notify');
const denyRule = fc
  .tuple(rule, fc.option(onViolation, { nil: undefined }))
  .map(([block, own]) => (own === undefined ? block : { ...block, onViolation: own }));

const policy = (name: string): fc.Arbitrary<Policy> =>
  fc
    .record({
      cluster: fc.boolean(),
      onViolation,
      fallback: fc.constantFrom('Deny', 'Allow'),
      allow: fc.array(rule, { maxLength: 4 }),
      deny: fc.oneof(
        { weight: 2, arbitrary: fc.constant([]) },
        { weight: 1, arbitrary: fc.array(denyRule, { maxLength: 2 }) },
      ),
      replaces: fc.option(fc.constantFrom('p0', 'p1', 'p2'), { nil: undefined }),
    })
    .map(({ cluster, onViolation: own, fallback, allow, deny, replaces }) => {
      const kind = cluster ? 'ClusterSecurityPolicy' : 'SecurityPolicy';
      const mayReplace = own === 'Notify' && replaces !== undefined && replaces !== name;
      const result = validatePolicy({
        apiVersion: 'sallyport.dev/v1alpha1',
        kind,
        metadata: cluster ? { name } : { name, namespace: 'shop' },
        spec: {
          podSelector: {},
          onViolation: own,
          default: fallback,
          allow,
          deny,
          ...(mayReplace ? { replaces } : {}),
        },
      });
      if (!result.ok) throw new Error(JSON.stringify(result.problems));
      return result.value;
    });

const policies = fc.tuple(policy('p0'), policy('p1'), policy('p2')).chain((all) => fc.subarray(all));
const installDefault = onViolation;

const doubts: readonly Doubt[] = ['unidentified', 'not-inspected', 'tunnel', 'malformed', 'ambiguous-name'];
const access: fc.Arbitrary<Access> = fc
  .record({
    class: fc.constantFrom(...CLASSES.map((spec) => spec.class)),
    address: fc.constantFrom(...ADDRESSES),
    port: fc.constantFrom(80, 443, 5432),
    requestedName: fc.option(fc.constantFrom(...NAMES), { nil: undefined }),
    names: fc.subarray(NAMES.slice(0, 4)),
    doubt: fc.option(fc.constantFrom(...doubts), { nil: undefined }),
    path: fc.option(fc.constantFrom('/', '/v1/x', '/v1/x/y', '/a b', '/a?b', '/*: x'), { nil: undefined }),
    method: fc.option(fc.constantFrom('GET', 'POST'), { nil: undefined }),
    query: fc.record({ name: fc.constantFrom(...NAMES.slice(0, 4)), type: fc.constantFrom('A', 'TXT') }),
  })
  .map(({ class: name, path, method, query, doubt, address, port, requestedName, names }) => {
    const tags: Record<string, string> = {};
    const isRequest = name === 'http' || name === 'websocket';
    if (isRequest && path !== undefined) tags['http.path'] = path;
    if (isRequest && method !== undefined) tags['http.method'] = method;
    if (isRequest && requestedName !== undefined) tags['http.host'] = requestedName;
    if (name === 'dns') Object.assign(tags, { 'dns.name': query.name, 'dns.type': query.type });
    if (name === 'icmp') tags['icmp.type'] = '8';
    const type = method === 'GET' ? 'Read' : 'Write';
    const operation = isRequest && method !== undefined ? ({ name: method, type } as const) : NO_OPERATION;
    return { class: name, tags, operation, doubt, destination: { address, port, requestedName, names } };
  });

const given = { policies, installDefault, access };
type Given = { readonly [K in keyof typeof given]: (typeof given)[K] extends fc.Arbitrary<infer T> ? T : never };

function holds(test: (all: Given) => void): void {
  fc.assert(fc.property(fc.record(given), test), SEED);
}

function effects({ policies: list, installDefault: install, access: accessed }: Given): {
  readonly enforced: Effect;
  readonly shadow: Effect;
} {
  const { enforced, shadow } = decide(compileSnapshot({ policies: list, installDefault: install }), accessed);
  return { enforced: enforced.effect, shadow: shadow.effect };
}

// ── the scopes, once more ────────────────────────────────────────────────────────────────────────────────────────

/** Whether this rule alone, in an allowlist, lets the access through. */
function allows(one: Rule, accessed: Access): boolean {
  return (
    effects({ policies: [alone({ allow: [one] }, 'Deny')], installDefault: 'Notify', access: accessed }).enforced ===
    'allow'
  );
}

/** Whether this rule alone, in a denylist, stops it. */
function denies({ onViolation: _own, ...one }: Rule, accessed: Access): boolean {
  return (
    effects({ policies: [alone({ deny: [one] }, 'Allow')], installDefault: 'Notify', access: accessed }).enforced ===
    'deny'
  );
}

function alone(
  rules: { readonly allow?: readonly Rule[]; readonly deny?: readonly Rule[] },
  fallback: 'Deny' | 'Allow',
): Policy {
  const spec = { podSelector: {}, onViolation: 'Block', default: fallback, allow: [], deny: [], ...rules } as const;
  return { apiVersion: 'sallyport.dev/v1alpha1', kind: 'SecurityPolicy', metadata: { name: 'alone' }, spec };
}

function plainVerdict(
  { policies: all, installDefault: install, access: accessed }: Given,
  view: 'enforced' | 'shadow',
): Effect {
  const stoodInFor = all
    .filter(({ spec }) => view === 'shadow' && spec.onViolation === 'Notify' && spec.replaces !== undefined)
    .map(({ kind, spec }) => `${kind} ${spec.replaces ?? ''}`);
  const standing = all.filter(({ kind, metadata }) => !stoodInFor.includes(`${kind} ${metadata.name}`));
  const counting = standing.filter(({ spec }) => view === 'shadow' || spec.onViolation === 'Block');

  for (const { spec } of standing) {
    for (const one of spec.deny) {
      const counts = view === 'shadow' || (one.onViolation ?? spec.onViolation) === 'Block';
      if (counts && denies(one, accessed)) return 'deny';
    }
  }
  const allowedBy = (list: readonly Policy[]): boolean =>
    list.some(({ spec }) => spec.allow.some((one) => allows(one, accessed)));
  const cluster = counting.filter(({ kind }) => kind === 'ClusterSecurityPolicy');
  const namespace = counting.filter(({ kind }) => kind === 'SecurityPolicy');
  if (cluster.some(({ spec }) => spec.default === 'Deny') && !allowedBy(cluster)) return 'deny';
  const namespaceDenies = namespace.some(({ spec }) => spec.default === 'Deny') || install === 'Block';
  const grants = cluster.filter(({ spec }) => spec.default === 'Allow');
  return namespaceDenies && !allowedBy([...namespace, ...grants]) ? 'deny' : 'allow';
}

// ── what holds ───────────────────────────────────────────────────────────────────────────────────────────────────

describe('decide', () => {
  it('meets both effects often, so that what follows says something', () => {
    const counts = { allow: 0, deny: 0 };
    holds((all) => {
      counts[effects(all).enforced] += 1;
    });
    expect(Math.min(counts.allow, counts.deny)).toBeGreaterThan(SEED.numRuns / 10);
  });

  it('says what the scopes of the design say, enforced and shadow', () => {
    holds((all) => {
      expect(effects(all)).toEqual({ enforced: plainVerdict(all, 'enforced'), shadow: plainVerdict(all, 'shadow') });
    });
  });

  it('finds by its indexes what asking every rule finds', () => {
    holds((all) => {
      // queries are also allowed by rules for hosts
      if (all.access.class === 'dns') return;
      const snapshot = compileSnapshot(all);
      const { verdict, enforced, shadow } = explainAccess(snapshot, all.access);
      expect(verdict.enforced.effect).toBe(effectOf(enforced));
      expect(verdict.shadow.effect).toBe(effectOf(shadow ?? enforced));
    });
  });

  it('goes by no order of policies and rules, nor does the version', () => {
    holds((all) => {
      const turned = all.policies
        .map((one) => ({
          ...one,
          spec: { ...one.spec, allow: one.spec.allow.toReversed(), deny: one.spec.deny.toReversed() },
        }))
        .toReversed();
      expect(effects({ ...all, policies: turned })).toEqual(effects(all));
      const version = (list: readonly Policy[]): string =>
        compileSnapshot({ policies: list, installDefault: all.installDefault }).version;
      expect(version(turned)).toBe(version(all.policies));
    });
  });

  it('is never widened by a further deny rule', () => {
    fc.assert(
      fc.property(fc.record({ ...given, further: denyRule, at: fc.nat() }), ({ further, at, ...all }) => {
        const before = effects(all);
        const more = all.policies.map((one, index) =>
          index === at % all.policies.length
            ? { ...one, spec: { ...one.spec, deny: [...one.spec.deny, further] } }
            : one,
        );
        const after = effects({ ...all, policies: more });
        if (before.enforced === 'deny') expect(after.enforced).toBe('deny');
        if (before.shadow === 'deny') expect(after.shadow).toBe('deny');
      }),
      SEED,
    );
  });

  it('enforces the same whether a policy on trial exists or not', () => {
    fc.assert(
      fc.property(fc.record({ ...given, trial: policy('trial') }), ({ trial, ...all }) => {
        const deny = trial.spec.deny.map(({ onViolation: _own, ...one }) => one);
        const notify: Policy = { ...trial, spec: { ...trial.spec, onViolation: 'Notify', deny } };
        expect(effects({ ...all, policies: [...all.policies, notify] }).enforced).toBe(effects(all).enforced);
      }),
      SEED,
    );
  });

  it('is not loosened by a denylist', () => {
    fc.assert(
      fc.property(fc.record({ ...given, list: policy('list') }), ({ list, ...all }) => {
        const denylist: Policy = { ...list, spec: { ...list.spec, onViolation: 'Block', default: 'Allow', allow: [] } };
        if (effects(all).enforced === 'deny')
          expect(effects({ ...all, policies: [...all.policies, denylist] }).enforced).toBe('deny');
      }),
      SEED,
    );
  });

  it('is not loosened beyond the ceiling by any policy of a namespace', () => {
    holds((all) => {
      const cluster = all.policies.filter(({ kind }) => kind === 'ClusterSecurityPolicy');
      const ceiling = effects({ ...all, policies: cluster, installDefault: 'Notify' });
      if (ceiling.enforced === 'deny') expect(effects(all).enforced).toBe('deny');
      if (ceiling.shadow === 'deny') expect(effects(all).shadow).toBe('deny');
    });
  });

  it('allows nothing for a rule that cannot tell', () => {
    holds((all) => {
      if (all.access.class === 'dns') return;
      const { verdict, enforced } = explainAccess(compileSnapshot(all), all.access);
      for (const { effect, rules } of enforced) {
        if (effect === 'allow' && rules.length > 0) expect(rules.some(({ answer }) => answer === 'yes')).toBe(true);
      }
      const doubted = enforced[0]?.rules.some(({ answer }) => answer === 'cannot tell') ?? false;
      if (doubted) expect(verdict.permit).toBeUndefined();
    });
  });

  it('lets through less where less is known', () => {
    fc.assert(
      fc.property(
        fc.record({ ...given, doubt: fc.constantFrom(...doubts), tag: fc.nat() }),
        ({ doubt, tag, ...all }) => {
          const known = Object.entries(all.access.tags).filter(
            (_, index, list) => all.access.class === 'dns' || index !== tag % list.length,
          );
          const less: Access = {
            ...all.access,
            tags: Object.fromEntries(known),
            operation: NO_OPERATION,
            doubt: all.access.doubt ?? doubt,
          };
          if (effects(all).enforced === 'deny') expect(effects({ ...all, access: less }).enforced).toBe('deny');
        },
      ),
      SEED,
    );
  });

  it('has a permit exactly for what it allows', () => {
    holds((all) => {
      const { enforced, permit } = decide(compileSnapshot(all), all.access);
      expect(permit !== undefined).toBe(enforced.effect === 'allow');
    });
  });
});

describe('the outlook', () => {
  it('promises nothing that looking would not bear out', () => {
    fc.assert(
      fc.property(
        fc.record({ ...given, address: fc.constantFrom(...ADDRESSES) }),
        ({ address, ...all }: Given & { readonly address: Address }) => {
          const { port, names } = all.access.destination;
          const inside: Access = { ...all.access, destination: { ...all.access.destination, address } };
          if (!['tcp', 'tls', 'http', 'websocket'].includes(inside.class)) return;
          const seen = outlook(compileSnapshot(all), { address, port, names }, 'tcp');
          const { enforced } = effects({ ...all, access: inside });
          if (seen === 'denied') expect(enforced).toBe('deny');
          // only a deny rule may still stop what is said, or a rule that leaves the requested name out
          const withoutDeny = all.policies.map((one) => ({ ...one, spec: { ...one.spec, deny: [] } }));
          const plain: Access = { ...inside, destination: { ...inside.destination, requestedName: undefined } };
          if (seen === 'allowed')
            expect(effects({ ...all, policies: withoutDeny, access: plain }).enforced).toBe('allow');
        },
      ),
      SEED,
    );
  });
});

describe('what validation admits', () => {
  const word = fc.oneof(
    fc.string({ maxLength: 10 }),
    fc.string({
      unit: fc.constantFrom('a', '.', '*', '/', ':', '[', ']', '0', '1', '9', '8', '-', '%', '@', 'é'),
      maxLength: 12,
    }),
    fc.constantFrom(
      'a.test',
      '*.a.test',
      '10.0.0.0/8',
      '::1',
      '[::1]',
      '/v1/**',
      'http://*.a.test:8080/x*',
      'GET',
      'TXT',
      '80-90',
      'ü.test',
    ),
    fc.webUrl(),
    fc.ipV4(),
    fc.ipV6(),
  );
  const fields = ['hosts', 'urls', 'cidrs', 'except', 'paths', 'methods', 'names', 'types', 'ports'];
  const block = fc.dictionary(
    fc.constantFrom(...fields),
    fc.array(fc.oneof(word, fc.nat(300)), { minLength: 1, maxLength: 2 }),
    { maxKeys: 3 },
  );
  const raw = fc.record({
    class: fc.constantFrom('HTTP', 'tls', '*', 'dns'),
    tags: fc.dictionary(
      fc.constantFrom('http.host', 'http.url', 'http.path', 'tls.sni', 'dns.name', 'operation.type'),
      word,
      { maxKeys: 2 },
    ),
  });
  const one = fc.oneof(
    {
      weight: 6,
      arbitrary: fc
        .tuple(fc.constantFrom('http', 'tls', 'tcp', 'udp', 'icmp', 'dns'), block)
        .map(([name, value]) => ({ [name]: value })),
    },
    { weight: 1, arbitrary: raw.map((value) => ({ raw: value })) },
  );

  it('always compiles, and every rule is found in the snapshot', () => {
    let admitted = 0;
    fc.assert(
      fc.property(one, access, (loose, accessed) => {
        for (const list of ['allow', 'deny']) {
          const result = validatePolicy({
            apiVersion: 'sallyport.dev/v1alpha1',
            kind: 'SecurityPolicy',
            metadata: { name: 'p' },
            spec: { podSelector: {}, default: 'Deny', [list]: [loose] },
          });
          if (!result.ok) continue;
          admitted += 1;
          const snapshot = compileSnapshot({ policies: [result.value], installDefault: 'Block' });
          const rules = list === 'allow' ? snapshot.enforced.namespace?.rules : snapshot.enforced.deny.rules;
          expect(rules?.length).toBeGreaterThan(0);
          decide(snapshot, accessed);
        }
      }),
      { ...SEED, numRuns: 6000 },
    );
    expect(admitted).toBeGreaterThan(400);
  });
});

describe('the suggestion', () => {
  it('is one rule that validation admits, and that allows what was denied for want of one', () => {
    fc.assert(
      fc.property(access, (accessed) => {
        const { requestedName, names, address } = accessed.destination;
        // a name that is not the address's is settled before anything is suggested
        const { suggestion } = explainAccess(
          compileSnapshot({ policies: [alone({}, 'Deny')], installDefault: 'Notify' }),
          accessed,
        );
        if (requestedName !== undefined && !names.includes(requestedName) && requestedName !== address.text) return;
        const rules = parse(suggestion ?? '') as readonly Rule[];
        const result = validatePolicy(alone({ allow: rules }, 'Deny'));
        expect(result).toMatchObject({ ok: true });
        expect(rules).toHaveLength(1);
        expect(
          effects({ policies: [alone({ allow: rules }, 'Deny')], installDefault: 'Notify', access: accessed }).enforced,
        ).toBe('allow');
      }),
      SEED,
    );
  });
});
