/** The two truth tables of test/fixtures/policy, and what single rules say of names, addresses and what cannot be told. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import type { Block, OnViolation, Policy, Rule } from '../api/policy.ts';
import { validatePolicy } from '../api/validate.ts';
import { NO_OPERATION, type Access, type ClassName, type Destination } from '../model/access.ts';
import { VIRTUAL_HOSTS } from '../model/virtual-hosts.ts';
import { parseAddress, parseCidr, type Address } from '../platform/pure/address.ts';
import { compileSnapshot, type CompileInput, type Snapshot } from './compile.ts';
import { decide, decideName, mayAnswer } from './decide.ts';
import { outlook } from './outlook.ts';

function fixture(name: string): unknown {
  return parse(readFileSync(new URL(`../../test/fixtures/policy/${name}.yaml`, import.meta.url), 'utf8'));
}

function addressOf(text: string): Address {
  const address = parseAddress(text);
  if (address === undefined) throw new Error(`no address: ${text}`);
  return address;
}

function policyOf(spec: Partial<Policy['spec']>, kind: Policy['kind'] = 'SecurityPolicy', name = 'p1'): Policy {
  const metadata = kind === 'SecurityPolicy' ? { name, namespace: 'shop' } : { name };
  const result = validatePolicy({
    apiVersion: 'sallyport.dev/v1alpha1',
    kind,
    metadata,
    spec: { podSelector: {}, default: 'Deny', ...spec },
  });
  if (!result.ok) throw new Error(JSON.stringify(result.problems));
  return result.value;
}

type AccessParts = Partial<Omit<Access, 'destination'>> & {
  readonly to?: string;
  readonly port?: number;
  readonly asks?: string | undefined;
  readonly names?: readonly string[];
};

function accessOf({ to = '192.0.2.7', port = 443, asks, names = [], ...rest }: AccessParts): Access {
  const destination: Destination = { address: addressOf(to), port, requestedName: asks, names };
  return { class: 'tls', tags: {}, operation: NO_OPERATION, doubt: undefined, ...rest, destination };
}

function compile(
  rules: { readonly allow?: readonly Rule[]; readonly deny?: readonly Rule[] },
  more: Partial<CompileInput> = {},
): Snapshot {
  const policy = policyOf({ default: rules.allow === undefined ? 'Allow' : 'Deny', ...rules });
  return compileSnapshot({ policies: [policy], installDefault: 'Notify', virtualHosts: VIRTUAL_HOSTS, ...more });
}

/** `allow`, or the reason of the denial. */
function verdictOn(snapshot: Snapshot, parts: AccessParts): string {
  const { enforced, permit } = decide(snapshot, accessOf(parts));
  expect(permit !== undefined).toBe(enforced.effect === 'allow');
  return enforced.effect === 'allow' ? 'allow' : enforced.reason;
}

describe('a rule of one class and an access of another', () => {
  const table = fixture('containment') as {
    readonly columns: readonly ClassName[];
    readonly plain: Readonly<Record<string, readonly string[]>>;
    readonly doubted: Readonly<Record<string, readonly string[]>>;
  };
  const typed: Readonly<Record<string, Rule>> = {
    tcp: { tcp: { hosts: ['*'] } },
    tls: { tls: { hosts: ['*'] } },
    http: { http: { hosts: ['*'] } },
    udp: { udp: { hosts: ['*'] } },
    dns: { dns: { names: ['*'] } },
    icmp: { icmp: { cidrs: ['0.0.0.0/0'] } },
  };
  const cells = (['plain', 'doubted'] as const).flatMap((doubt) =>
    Object.entries(table[doubt]).flatMap(([rule, answers]) =>
      table.columns.map((accessed, column) => ({ doubt, rule, accessed, answer: answers[column] })),
    ),
  );

  it('covers all classes', () => {
    expect(cells).toHaveLength(2 * 9 * 8);
  });

  it.each(cells)('$doubt $accessed, rule for $rule: $answer', ({ doubt, rule, accessed, answer }) => {
    const parts: AccessParts = {
      class: accessed,
      doubt: doubt === 'doubted' ? 'unidentified' : undefined,
      // a type that is not asked for to connect: such queries are also allowed by rules for hosts
      tags: accessed === 'dns' ? { 'dns.name': 'api.test', 'dns.type': 'TXT' } : {},
    };
    for (const block of [typed[rule], { raw: { class: rule } }]) {
      if (block === undefined) continue;
      expect(verdictOn(compile({ allow: [block] }), parts) === 'allow').toBe(answer === 'yes');
      const denied = { yes: 'deny-rule', perhaps: 'deny-rule-cannot-tell', no: 'allow' }[answer ?? ''];
      expect(verdictOn(compile({ deny: [block] }), parts)).toBe(denied);
    }
  });
});

describe('the verdict over the scopes', () => {
  interface Row {
    readonly title: string;
    readonly install: OnViolation;
    readonly policies: readonly (readonly ['cluster' | 'namespace', OnViolation, 'Deny' | 'Allow', ...string[]])[];
    readonly enforced: readonly string[];
    readonly shadow?: readonly string[];
  }
  const rows = fixture('scopes') as readonly Row[];
  const api: Rule = { tls: { hosts: ['api.test'] } };

  function policyOfRow([scope, onViolation, fallback, ...words]: Row['policies'][number], index: number): Policy {
    const allow: Rule[] = [];
    const deny: Rule[] = [];
    for (const word of words) {
      if (word === '+') allow.push(api);
      else if (word === '+other') allow.push({ tls: { hosts: ['other.test'] } });
      else if (word === '-') deny.push(api);
      else if (word === '-B' || word === '-N') deny.push({ ...api, onViolation: word === '-B' ? 'Block' : 'Notify' });
    }
    const replaces = words.find((word) => word.startsWith('replaces: '))?.slice(10);
    const kind = scope === 'cluster' ? 'ClusterSecurityPolicy' : 'SecurityPolicy';
    return policyOf(
      { onViolation, default: fallback, allow, deny, ...(replaces === undefined ? {} : { replaces }) },
      kind,
      `p${index + 1}`,
    );
  }

  it.each(rows)('$title', ({ install, policies, enforced, shadow }) => {
    const compiled = policies.map(policyOfRow);
    for (const order of [compiled, compiled.toReversed()]) {
      const snapshot = compileSnapshot({ policies: order, installDefault: install });
      const verdict = decide(snapshot, accessOf({ asks: 'api.test', names: ['api.test'] }));
      const said = ({ effect, reason, by }: typeof verdict.enforced | typeof verdict.shadow): string[] =>
        [effect, reason, by?.policy.replace('shop/', '')].filter((word) => word !== undefined);
      expect(said(verdict.enforced)).toEqual(enforced);
      expect(said(verdict.shadow)).toEqual(shadow ?? enforced);
    }
  });
});

describe('names', () => {
  const tls = compile({ allow: [{ tls: { hosts: ['api.test', '*.cdn.test'] } }] });

  it.each<[string, AccessParts, string]>([
    ['asked for and bound', { asks: 'api.test', names: ['api.test'] }, 'allow'],
    ['asked for, bound beside others', { asks: 'api.test', names: ['other.test', 'api.test'] }, 'allow'],
    ['asked for, not bound: only the client says so', { asks: 'api.test', names: [] }, 'no-rule'],
    ['asked for, the address bound to another', { asks: 'api.test', names: ['evil.test'] }, 'no-rule'],
    [
      'another asked for at the address of an allowed one',
      { asks: 'evil.test', names: ['api.test', 'evil.test'] },
      'no-rule',
    ],
    ['none asked for, one bound', { names: ['api.test'] }, 'allow'],
    ['none asked for, none bound', { names: [] }, 'no-rule'],
    ['none that can be read', { names: ['api.test'], doubt: 'ambiguous-name' }, 'ambiguous-name'],
    ['a label by a star', { asks: 'a.cdn.test', names: ['a.cdn.test'] }, 'allow'],
    ['two labels by one star', { asks: 'a.b.cdn.test', names: ['a.b.cdn.test'] }, 'no-rule'],
    ['the apex by a star', { asks: 'cdn.test', names: ['cdn.test'] }, 'no-rule'],
  ])('an allow rule for TLS: %s', (_title, parts, expected) => {
    expect(verdictOn(tls, parts)).toBe(expected);
  });

  it('a rule for tcp goes by bound names, whatever is asked for', () => {
    const tcp = compile({ allow: [{ tcp: { hosts: ['db.test'] } }] });
    expect(verdictOn(tcp, { class: 'tcp', names: ['db.test'] })).toBe('allow');
    expect(verdictOn(tcp, { asks: 'db.test', names: [] })).toBe('no-rule');
    expect(verdictOn(tcp, { asks: 'other.test', names: ['db.test'] })).toBe('allow');
  });

  it('any host may have any name or none, at a public address', () => {
    const any = compile({ allow: [{ tls: { hosts: ['*'] } }] });
    expect(verdictOn(any, { asks: 'unbound.test' })).toBe('allow');
    expect(verdictOn(any, {})).toBe('allow');
    expect(verdictOn(any, { to: '10.0.0.1' })).toBe('address');
  });

  it('an address among the hosts is allowed by itself only', () => {
    const literal = compile({ allow: [{ tls: { hosts: ['192.0.2.7', '[2001:db8::7]'] } }] });
    expect(verdictOn(literal, {})).toBe('allow');
    expect(verdictOn(literal, { asks: '192.0.2.7' })).toBe('allow');
    expect(verdictOn(literal, { to: '2001:db8::7' })).toBe('allow');
    expect(verdictOn(literal, { asks: 'evil.test', names: ['evil.test'] })).toBe('no-rule');
    expect(verdictOn(literal, { to: '192.0.2.8', asks: '192.0.2.7' })).toBe('no-rule');
  });

  it.each(['**', '*.*.*.*'])('an address is no name that the glob %s allows', (glob) => {
    expect(verdictOn(compile({ allow: [{ http: { hosts: [glob] } }] }), { class: 'http', asks: '192.0.2.7' })).toBe(
      'no-rule',
    );
  });

  it.each<[string, AccessParts, string]>([
    ['asked for', { asks: 'bad.test', names: ['fine.test'] }, 'deny-rule'],
    ['bound', { asks: 'fine.test', names: ['fine.test', 'bad.test'] }, 'deny-rule'],
    ['neither', { asks: 'fine.test', names: ['fine.test'] }, 'allow'],
    ['none asked for, and more could be inside', { names: [], doubt: 'not-inspected' }, 'deny-rule-cannot-tell'],
    ['none asked for, and all of it known', { class: 'tcp', names: [] }, 'allow'],
    [
      'a tunnel to a proxy of another name',
      { class: 'tcp', names: ['proxy.test'], doubt: 'tunnel' },
      'deny-rule-cannot-tell',
    ],
    ['another asked for, not decrypted', { asks: 'fine.test', names: ['fine.test'], doubt: 'not-inspected' }, 'allow'],
  ])('a deny rule for TLS: %s', (_title, parts, expected) => {
    expect(verdictOn(compile({ deny: [{ tls: { hosts: ['bad.test'] } }] }), parts)).toBe(expected);
  });

  it('what a rule leaves out by name, it leaves out by every name', () => {
    const rule: Rule = { tcp: { cidrs: ['192.0.2.0/24'], except: ['old.test', '192.0.2.128/25'] } };
    const allow = compile({ allow: [rule] });
    expect(verdictOn(allow, { asks: 'api.test', names: ['api.test'] })).toBe('allow');
    expect(verdictOn(allow, { to: '192.0.2.130' })).toBe('no-rule');
    expect(verdictOn(allow, { names: ['old.test', 'api.test'] })).toBe('no-rule');
    expect(verdictOn(allow, { asks: 'old.test' })).toBe('no-rule');
    const deny = compile({ deny: [rule] });
    expect(verdictOn(deny, { names: ['old.test', 'api.test'] })).toBe('deny-rule');
    expect(verdictOn(deny, { names: ['old.test'] })).toBe('allow');
    expect(verdictOn(deny, { to: '192.0.2.130' })).toBe('allow');
  });
});

describe('what a name may answer with', () => {
  const kinds: Readonly<Record<string, readonly string[]>> = {
    public: [
      '192.0.2.1',
      '198.51.100.1',
      '203.0.113.1',
      '198.18.0.1',
      '8.8.8.8',
      '2001:db8::1',
      '2001:2::1',
      '2606:4700::1',
      '64:ff9b::808:808',
    ],
    private: [
      '10.0.0.1',
      '172.16.0.1',
      '172.31.255.255',
      '192.168.1.1',
      '100.64.0.1',
      'fd12::1',
      '64:ff9b::a00:1',
      '::ffff:10.0.0.1',
      '2002:a00:1::1',
    ],
    special: [
      '127.0.0.1',
      '127.8.8.8',
      '0.0.0.0',
      '0.1.2.3',
      '169.254.1.1',
      '169.254.169.254',
      '169.254.170.2',
      '169.254.170.23',
      '168.63.129.16',
      '100.100.100.200',
      '224.0.0.1',
      '255.255.255.255',
      '::1',
      '::',
      'fe80::1',
      'ff02::1',
      'fd00:ec2::254',
      '::ffff:169.254.169.254',
      '64:ff9b::a9fe:a9fe',
      '64:ff9b:1::7f00:1',
      '2002:7f00:1::1',
      '::127.0.0.1',
      '172.20.0.9',
    ],
  };
  const protectedRanges = ['172.20.0.9/32'].flatMap((text) => parseCidr(text) ?? []);
  const cases = Object.entries(kinds).flatMap(([kind, texts]) => texts.map((text) => ({ kind, text })));

  it.each(cases)('$text is $kind', ({ kind, text }) => {
    const address = addressOf(text);
    const range = `${address.text}/${address.family === 4 ? 32 : 128}`;
    const expected: readonly [Block, boolean][] = [
      [{ hosts: ['a.test'] }, kind !== 'special'],
      [{ hosts: ['*.test'] }, kind === 'public'],
      [{ hosts: ['**'] }, kind === 'public'],
      [{ hosts: ['*'] }, kind === 'public'],
      [{ hosts: ['a.test'], cidrs: [range] }, true],
      [{ hosts: ['*.test'], cidrs: [range] }, true],
      [{ hosts: ['*'], cidrs: [range] }, true],
    ];
    for (const [tls, allowed] of expected) {
      const snapshot = compile({ allow: [{ tls }] }, { protectedRanges });
      expect(verdictOn(snapshot, { to: text, asks: 'a.test', names: ['a.test'] })).toBe(allowed ? 'allow' : 'address');
      expect(mayAnswer(snapshot, 'a.test', address)).toBe(allowed);
    }
    const raw = compile({ allow: [{ raw: { class: 'HTTP' } }] }, { protectedRanges });
    expect(verdictOn(raw, { class: 'http', to: text, asks: 'a.test' })).toBe(kind === 'public' ? 'allow' : 'address');
  });

  it('the range of the rule itself is the only one, where it gives one', () => {
    const snapshot = compile({ allow: [{ tls: { hosts: ['a.test'], cidrs: ['192.0.2.0/28'] } }] });
    expect(verdictOn(snapshot, { to: '192.0.2.16', asks: 'a.test', names: ['a.test'] })).toBe('address');
    expect(mayAnswer(snapshot, 'a.test', addressOf('192.0.2.16'))).toBe(false);
  });

  it.each([
    [{ hosts: ['host.sallyport.internal'] }, 'allow'],
    [{ hosts: ['host.sallyport.internal'], cidrs: ['192.0.0.1'] }, 'allow'],
    [{ hosts: ['host.sallyport.internal'], cidrs: ['0.0.0.0/0'] }, 'allow'],
    [{ cidrs: ['192.0.0.0/24'] }, 'allow'],
    [{ cidrs: ['0.0.0.0/0', '192.0.0.0/24'] }, 'allow'],
    // whoever leaves out 127.0.0.0/8 means the host's loopback, and every wide range does not mean it
    [{ cidrs: ['0.0.0.0/0'], except: ['127.0.0.0/8'] }, 'address'],
    [{ cidrs: ['192.0.0.0/16'] }, 'address'],
    [{ hosts: ['*'], cidrs: ['0.0.0.0/0'] }, 'address'],
    [{ hosts: ['other.internal'], cidrs: ['0.0.0.0/0'] }, 'address'],
    [{ hosts: ['*'] }, 'address'],
    [{ hosts: ['**.internal'] }, 'address'],
    [{ hosts: ['other.internal'] }, 'address'],
  ])('the loopback of the host: %j → %s', (tcp, expected) => {
    const access: AccessParts = { class: 'tcp', to: '192.0.0.1', names: ['host.sallyport.internal', 'other.internal'] };
    expect(verdictOn(compile({ allow: [{ tcp }] }), access)).toBe(expected);
  });

  it('anything, where nothing is enforced', () => {
    expect(mayAnswer(compile({ deny: [{ tls: { hosts: ['bad.test'] } }] }), 'a.test', addressOf('127.0.0.1'))).toBe(
      true,
    );
  });
});

describe('short names of a cluster', () => {
  const cluster = { domain: 'cluster.local', namespace: 'shop' };
  const full = 'db.shop.svc.cluster.local';

  it.each(['db', 'db.shop', 'db.shop.svc', full])('%s in a rule is the full name', (name) => {
    const tcp = compile({ allow: [{ tcp: { hosts: [name] } }] }, { cluster });
    expect(verdictOn(tcp, { class: 'tcp', to: '10.0.0.1', names: [full] })).toBe('allow');
    expect(verdictOn(tcp, { class: 'tcp', to: '10.0.0.1', names: ['db.other.svc.cluster.local'] })).toBe('no-rule');
    const except = compile({ deny: [{ tcp: { cidrs: ['10.0.0.0/8'], except: [name] } }] }, { cluster });
    expect(verdictOn(except, { class: 'tcp', to: '10.0.0.1', names: [full] })).toBe('allow');
    expect(decideName(compile({ allow: [{ dns: { names: [name] } }] }, { cluster }), full, 'TXT').permit).toBeDefined();
  });

  it('are names like others without a cluster', () => {
    expect(verdictOn(compile({ allow: [{ tcp: { hosts: ['db.shop'] } }] }), { class: 'tcp', names: [full] })).toBe(
      'no-rule',
    );
  });
});

describe('requests', () => {
  const http = compile({
    allow: [{ http: { hosts: ['a.test'], paths: ['/v1/**'], methods: ['GET', 'PUT'], operations: ['Read'] } }],
  });
  const request = (
    path: string | undefined,
    method: string | undefined,
    type: Access['operation']['type'],
  ): AccessParts => ({
    class: 'http',
    asks: 'a.test',
    names: ['a.test'],
    tags: {
      ...(path === undefined ? {} : { 'http.path': path }),
      ...(method === undefined ? {} : { 'http.method': method }),
    },
    operation: { name: method, type },
  });

  it.each([
    ['all fields match', request('/v1/x/y', 'GET', 'Read'), 'allow'],
    ['another path', request('/v2', 'GET', 'Read'), 'no-rule'],
    ['another method', request('/v1/', 'POST', 'Read'), 'no-rule'],
    ['the method of the one field, the type of none', request('/v1/', 'PUT', 'Write'), 'no-rule'],
    ['a path that cannot be told', request(undefined, 'GET', 'Read'), 'no-rule'],
    ['a method that cannot be told', request('/v1/', undefined, undefined), 'no-rule'],
    ['an operation that cannot be told', request('/v1/', 'GET', undefined), 'no-rule'],
  ])('an allow rule: %s', (_title, parts, expected) => {
    expect(verdictOn(http, parts)).toBe(expected);
  });

  it.each([
    ['a path that cannot be told', request(undefined, 'GET', 'Read'), 'deny-rule-cannot-tell'],
    ['a path that cannot be told, and another method', request(undefined, 'POST', 'Read'), 'allow'],
    ['an operation that cannot be told', request('/v1/', 'GET', undefined), 'deny-rule-cannot-tell'],
    ['at another host', { ...request(undefined, 'GET', 'Read'), asks: 'b.test', names: ['b.test'] }, 'allow'],
    ['at another port', { ...request(undefined, 'GET', 'Read'), port: 80 }, 'allow'],
  ])('a deny rule: %s', (_title, parts, expected) => {
    const block: Block = { hosts: ['a.test'], paths: ['/v1/**'], methods: ['GET'], operations: ['Read'], ports: [443] };
    expect(verdictOn(compile({ deny: [{ http: block }] }), parts)).toBe(expected);
  });

  it.each([{ paths: ['*'] }, { paths: ['/x', '/**'] }, { methods: ['*'] }])(
    '%j limits nothing, not even what cannot be told',
    (more) => {
      expect(
        verdictOn(
          compile({ allow: [{ http: { hosts: ['a.test'], ...more } }] }),
          request(undefined, undefined, undefined),
        ),
      ).toBe('allow');
    },
  );

  it('by URL', () => {
    const byUrl = compile({ allow: [{ http: { urls: ['http://a.test/v1/*', 'http://b.test:8080'] } }] });
    expect(verdictOn(byUrl, { ...request('/v1/x', 'GET', 'Read'), port: 80 })).toBe('allow');
    expect(verdictOn(byUrl, { ...request('/v1/x', 'GET', 'Read'), port: 81 })).toBe('no-rule');
    expect(verdictOn(byUrl, { ...request('/v2', 'GET', 'Read'), port: 80 })).toBe('no-rule');
    const other: AccessParts = { ...request(undefined, 'GET', 'Read'), asks: 'b.test', names: ['b.test'], port: 8080 };
    expect(verdictOn(byUrl, other)).toBe('allow');
  });

  it('by the tags of imported rules, whose host must be the one that is dialled', () => {
    const raw = compile({
      allow: [{ raw: { class: 'HTTP', tags: { 'http.host': ['a.test'], 'operation.type': ['GET', 'POST'] } } }],
    });
    const known = {
      ...request('/', 'GET', 'Read'),
      tags: { 'http.path': '/', 'http.method': 'GET', 'http.host': 'a.test' },
    };
    expect(verdictOn(raw, known)).toBe('allow');
    expect(verdictOn(raw, { ...known, names: [] })).toBe('no-rule');
    expect(verdictOn(raw, { ...known, tags: { ...known.tags, 'http.method': 'PUT' } })).toBe('no-rule');
    const byUrl = compile({ allow: [{ raw: { class: 'http', tags: { 'http.url': 'a.test/x' } } }] });
    const url = { ...known, tags: { ...known.tags, 'http.url': 'a.test/x' } };
    expect(verdictOn(byUrl, url)).toBe('allow');
    expect(verdictOn(byUrl, { ...url, names: [] })).toBe('no-rule');
  });

  it('what nobody named matches a deny rule for an operation of any class', () => {
    const raw = compile({ deny: [{ raw: { class: '*', tags: { 'operation.type': 'WRITE' } } }] });
    expect(verdictOn(raw, request('/', 'DELETE', 'Delete'))).toBe('deny-rule');
    expect(verdictOn(raw, request('/', 'GET', 'Read'))).toBe('allow');
    expect(verdictOn(raw, request('/', 'FOO', undefined))).toBe('deny-rule-cannot-tell');
  });
});

describe('a name that is asked for', () => {
  const says = (snapshot: Snapshot, name: string, type = 'A'): boolean =>
    decideName(snapshot, name, type).permit !== undefined;

  it('is forwarded where a rule names the host, for the types that serve to connect', () => {
    const snapshot = compile({
      allow: [{ http: { hosts: ['a.test'], paths: ['/x'], ports: [80] } }, { udp: { hosts: ['**.b.test'] } }],
    });
    for (const type of ['A', 'AAAA', 'CNAME', 'SRV', 'HTTPS', 'SVCB'])
      expect(says(snapshot, 'a.test', type)).toBe(true);
    for (const type of ['TXT', 'NULL', 'MX', 'ANY', 'PTR']) expect(says(snapshot, 'a.test', type)).toBe(false);
    expect(says(snapshot, 'x.y.b.test')).toBe(true);
    expect(says(snapshot, 'b.test')).toBe(false);
    expect(says(snapshot, 'secret.a.test')).toBe(false);
  });

  it('is forwarded where a dns rule names it, with its types', () => {
    const snapshot = compile({ allow: [{ dns: { names: ['*.mail.test'], types: ['mx', 'TXT'] } }] });
    expect(says(snapshot, 'a.mail.test', 'TXT')).toBe(true);
    expect(says(snapshot, 'a.mail.test', 'MX')).toBe(true);
    expect(says(snapshot, 'a.mail.test')).toBe(false);
    expect(says(snapshot, 'mail.test', 'TXT')).toBe(false);
  });

  it('is any under a rule for any host', () => {
    const snapshot = compile({ allow: [{ tcp: { hosts: ['*'], except: ['**.bad.test'] } }] });
    expect(says(snapshot, 'anything.test')).toBe(true);
    expect(says(snapshot, 'anything.test', 'TXT')).toBe(false);
    expect(says(snapshot, 'x.bad.test')).toBe(false);
  });

  it('is none under rules for addresses', () => {
    expect(says(compile({ allow: [{ tcp: { cidrs: ['0.0.0.0/0'] } }] }), 'a.test')).toBe(false);
  });

  it('is of any type under a rule for all datagrams, whichever resolver is asked', () => {
    const snapshot = compile({ allow: [{ udp: { hosts: ['*'] } }] });
    const query: AccessParts = {
      class: 'dns',
      to: '10.0.0.2',
      port: 53,
      tags: { 'dns.name': 'a.test', 'dns.type': 'TXT' },
    };
    expect(verdictOn(snapshot, query)).toBe('allow');
    expect(says(snapshot, 'a.test', 'TXT')).toBe(true);
  });

  it.each<[Rule, boolean]>([
    [{ tcp: { hosts: ['bad.test'] } }, false],
    [{ http: { hosts: ['*.test'] } }, false],
    [{ dns: { names: ['**.test'] } }, false],
    [{ tcp: { hosts: ['**.test'], except: ['bad.test'] } }, true],
    [{ tcp: { hosts: ['bad.test'], except: ['10.0.0.0/8'] } }, true],
    [{ udp: { hosts: ['bad.test'] } }, true],
    [{ http: { hosts: ['bad.test'], methods: ['POST'] } }, true],
    [{ tcp: { hosts: ['bad.test'], ports: [25] } }, true],
    [{ tcp: { hosts: ['*'] } }, true],
  ])('where all else is allowed, %j leaves bad.test to be asked for: %s', (rule, expected) => {
    expect(says(compile({ deny: [rule] }), 'bad.test')).toBe(expected);
  });

  it('needs every scope', () => {
    const ceiling = policyOf({ allow: [{ tls: { hosts: ['a.test'] } }] }, 'ClusterSecurityPolicy');
    const own = policyOf({ allow: [{ tls: { hosts: ['a.test', 'b.test'] } }] });
    const snapshot = compileSnapshot({ policies: [ceiling, own], installDefault: 'Block' });
    expect(says(snapshot, 'a.test')).toBe(true);
    expect(decideName(snapshot, 'b.test', 'A').enforced.reason).toBe('ceiling');
    expect(mayAnswer(snapshot, 'b.test', addressOf('192.0.2.1'))).toBe(false);
  });

  it('may answer with either family where a dns rule names one of them', () => {
    const snapshot = compile({ allow: [{ dns: { names: ['a.test'], types: ['AAAA'] } }] });
    expect(mayAnswer(snapshot, 'a.test', addressOf('2001:db8::1'))).toBe(true);
    expect(mayAnswer(snapshot, 'a.test', addressOf('192.0.2.1'))).toBe(false);
  });
});

describe('the outlook of a connection of which no byte was seen', () => {
  const look = (rules: Parameters<typeof compile>[0], to = '192.0.2.7', names: readonly string[] = []): string =>
    outlook(compile(rules), { address: addressOf(to), port: 443, names }, 'tcp');

  it.each<[string, Parameters<typeof compile>[0], string]>([
    ['nothing is enforced', {}, 'allowed'],
    ['a rule for its address', { allow: [{ tcp: { cidrs: ['192.0.2.0/24'] } }] }, 'allowed'],
    [
      'a rule for its address, at another port',
      { allow: [{ tcp: { cidrs: ['192.0.2.0/24'], ports: [80] } }] },
      'denied',
    ],
    ['a rule for a name that may be asked for', { allow: [{ tls: { hosts: ['a.test'] } }] }, 'look'],
    ['a rule for a name, at another port', { allow: [{ tls: { hosts: ['a.test'], ports: [80] } }] }, 'denied'],
    [
      'rules for datagrams and queries',
      { allow: [{ udp: { hosts: ['*'] } }, { dns: { names: ['*'] } }, { icmp: { cidrs: ['0.0.0.0/0'] } }] },
      'denied',
    ],
    ['a deny rule for its address', { deny: [{ tcp: { cidrs: ['192.0.2.0/24'] } }] }, 'denied'],
    ['a deny rule for what may be inside', { deny: [{ http: { hosts: ['bad.test'] } }] }, 'allowed'],
  ])('%s: %s', (_title, rules, expected) => {
    expect(look(rules)).toBe(expected);
  });
});

describe('the version of a snapshot', () => {
  const rules: readonly Rule[] = [
    { tls: { hosts: ['a.test'] } },
    { tls: { hosts: ['b.test'] } },
    { name: 'c', tls: { hosts: ['c.test'] } },
  ];
  const input = {
    policies: [policyOf({ allow: rules }), policyOf({ allow: rules }, 'ClusterSecurityPolicy')],
    installDefault: 'Notify',
    virtualHosts: VIRTUAL_HOSTS,
  } as const;
  const { version } = compileSnapshot(input);

  it('is a hash that order does not change', () => {
    expect(version).toMatch(/^[0-9a-f]{64}$/);
    const turned = [
      policyOf({ allow: rules.toReversed() }, 'ClusterSecurityPolicy'),
      policyOf({ allow: rules.toReversed() }),
    ];
    expect(compileSnapshot({ ...input, policies: turned }).version).toBe(version);
  });

  it.each<[string, Partial<CompileInput>]>([
    [
      'a rule less',
      { policies: [policyOf({ allow: rules.slice(1) }), policyOf({ allow: rules }, 'ClusterSecurityPolicy')] },
    ],
    ['the install', { installDefault: 'Block' }],
    ['protected ranges', { protectedRanges: [parseCidr('10.0.0.0/8') ?? []].flat() }],
    ['addresses of virtual hosts', { virtualHosts: new Map([['host.sallyport.internal', [addressOf('192.0.0.2')]]]) }],
  ])('changes with %s', (_title, change) => {
    expect(compileSnapshot({ ...input, ...change }).version).not.toBe(version);
  });
});
