import { describe, expect, it } from 'vitest';
import type { Policy } from './policy.ts';
import { validatePolicy } from './validate.ts';

type Fields = Readonly<Record<string, unknown>>;

function document(spec: Fields, more: Fields = {}): Fields {
  return {
    apiVersion: 'sallyport.dev/v1alpha1',
    kind: 'SecurityPolicy',
    metadata: { name: 'p', namespace: 'shop' },
    spec: { podSelector: {}, onViolation: 'Block', default: 'Deny', ...spec },
    ...more,
  };
}

/** `path: message | remedy` of each problem. */
function problemsOf(value: unknown): string[] {
  const result = validatePolicy(value);
  if (result.ok) return [];
  for (const { severity, message, remedy } of result.problems) {
    expect(severity).toBe('error');
    expect(message).not.toBe('');
    expect(remedy).toMatch(/[.?)]$/);
  }
  return result.problems.map(({ path, message, remedy }) => `${path}: ${message} | ${remedy}`);
}

const allow = (...rules: readonly unknown[]): Fields => document({ allow: rules });
const deny = (...rules: readonly unknown[]): Fields => document({ deny: rules });

describe('a bad document', () => {
  it.each<[string, unknown, readonly RegExp[]]>([
    // ── the document ──
    ['nothing', undefined, [/^: /]],
    ['null', null, [/^: /]],
    ['a list', [document({})], [/^: /]],
    ['a text', 'allow everything', [/^: /]],
    ['another kind', document({}, { kind: 'NetworkPolicy' }), [/^kind: .*NetworkPolicy.*SecurityPolicy/]],
    ['no kind', document({}, { kind: undefined }), [/^kind: /]],
    ['another version', document({}, { apiVersion: 'sallyport.dev/v2' }), [/^apiVersion: .*v1alpha1/]],
    ['no metadata', document({}, { metadata: undefined }), [/^metadata: it is required/]],
    ['no name', document({}, { metadata: {} }), [/^metadata\.name: it is required/]],
    [
      'a namespace that is no text',
      document({}, { metadata: { name: 'p', namespace: 7 } }),
      [/^metadata\.namespace: /],
    ],
    ['an unknown field beside spec', document({}, { sepc: {} }), [/^sepc: .*Did you mean spec\?/]],
    ['no spec', document({}, { spec: undefined }), [/^spec: it is required/]],
    ['a null spec', document({}, { spec: null }), [/^spec: .*null/]],
    // ── the spec ──
    ['no default', document({ default: undefined }), [/^spec\.default: it is required.*default: Deny/]],
    ['a null default', document({ default: null }), [/^spec\.default: .*null/]],
    ['a default in lower case', document({ default: 'deny' }), [/^spec\.default: .*Deny, Allow/]],
    ['no selector', document({ podSelector: undefined }), [/^spec\.podSelector: it is required/]],
    ['a misspelt field', document({ alow: [] }), [/^spec\.alow: .*Did you mean allow\?/]],
    ['a field that is like none', document({ zzzzzz: 1 }), [/^spec\.zzzzzz: .*Remove it/]],
    [
      'a selector for namespaces in a policy of a namespace',
      document({ namespaceSelector: {} }),
      [/^spec\.namespaceSelector: /],
    ],
    ['an unknown onViolation', document({ onViolation: 'Warn' }), [/^spec\.onViolation: .*Block, Notify/]],
    [
      'an unknown operator',
      document({ podSelector: { matchExpressions: [{ key: 'a', operator: 'Is' }] } }),
      [/^spec\.podSelector\.matchExpressions\[0\]\.operator: /],
    ],
    ['replaces in a policy that blocks', document({ replaces: 'q' }), [/^spec\.replaces: .*Notify/]],
    ['replaces itself', document({ onViolation: 'Notify', replaces: 'p' }), [/^spec\.replaces: /]],
    ['rules as a mapping', document({ allow: { tls: {} } }), [/^spec\.allow: /, /^spec\.allow\.tls: |^spec\.allow/]],
    [
      'too many rules',
      document({ allow: Array.from({ length: 1001 }, () => ({ tls: { hosts: ['a.test'] } })) }),
      [/^spec\.allow: .*1000/],
    ],
    // ── a rule ──
    ['a null rule', allow(null), [/^spec\.allow\[0\]: .*null/]],
    ['an empty rule', allow({}), [/^spec\.allow\[0\]: .*no block/]],
    ['a rule that has a name alone', allow({ name: 'x' }), [/^spec\.allow\[0\]: .*no block/]],
    ['a rule that is a text', allow('api.test'), [/^spec\.allow\[0\]: /]],
    [
      'two blocks',
      allow({ tls: { hosts: ['a.test'] }, http: { hosts: ['a.test'] } }),
      [/^spec\.allow\[0\]: .*exactly one.*http.*tls|^spec\.allow\[0\]: .*exactly one.*tls.*http/],
    ],
    [
      'a block of this version and one of a later',
      allow({ tls: { hosts: ['a.test'] }, s3: {} }),
      [/^spec\.allow\[0\]\.s3: .*not in this version/, /^spec\.allow\[0\]: .*exactly one/],
    ],
    [
      'a block of a later version',
      deny({ s3: { buckets: ['b'] } }),
      [/^spec\.deny\[0\]\.s3: the block s3 is not in this version/],
    ],
    ['a misspelt block', allow({ htpp: { hosts: ['a.test'] } }), [/^spec\.allow\[0\]: .*no block/]],
    ['a null block', allow({ tls: null }), [/^spec\.allow\[0\]\.tls: .*null/]],
    ['an empty block', allow({ tls: {} }), [/^spec\.allow\[0\]\.tls: hosts is required/]],
    ['an empty block of tcp', allow({ tcp: { ports: [22] } }), [/^spec\.allow\[0\]\.tcp: hosts or cidrs is required/]],
    [
      'an empty block of http',
      allow({ http: { paths: ['/'] } }),
      [/^spec\.allow\[0\]\.http: hosts or urls is required/],
    ],
    ['an empty block of icmp', allow({ icmp: {} }), [/^spec\.allow\[0\]\.icmp: cidrs is required/]],
    ['an empty block of dns', allow({ dns: { types: ['A'] } }), [/^spec\.allow\[0\]\.dns: names is required/]],
    [
      'both ways to write http',
      allow({ http: { hosts: ['a.test'], urls: ['http://a.test/'] } }),
      [/^spec\.allow\[0\]\.http: /],
    ],
    [
      'urls with paths',
      allow({ http: { urls: ['http://a.test/'], paths: ['/'] } }),
      [/^spec\.allow\[0\]\.http\.paths: /],
    ],
    [
      'onViolation on an allow rule',
      allow({ onViolation: 'Notify', tls: { hosts: ['a.test'] } }),
      [/^spec\.allow\[0\]\.onViolation: /],
    ],
    [
      'two rules of one name',
      document({
        allow: [{ name: 'a', tls: { hosts: ['a.test'] } }],
        deny: [{ name: 'a', tls: { hosts: ['b.test'] } }],
      }),
      [/^spec\.deny\[0\]\.name: another/],
    ],
    // ── fields ──
    [
      'a misspelt field',
      allow({ tls: { host: ['a.test'] } }),
      [/^spec\.allow\[0\]\.tls: hosts is required/, /^spec\.allow\[0\]\.tls\.host: .*hosts\?/],
    ],
    [
      'a field of another block',
      allow({ tls: { hosts: ['a.test'], paths: ['/'] } }),
      [/^spec\.allow\[0\]\.tls\.paths: /],
    ],
    [
      'operations of a class without',
      allow({ tcp: { hosts: ['a.test'], operations: ['Read'] } }),
      [/^spec\.allow\[0\]\.tcp\.operations: /],
    ],
    [
      'an unknown operation',
      allow({ http: { hosts: ['a.test'], operations: ['Read', 'read'] } }),
      [/^spec\.allow\[0\]\.http\.operations\[1\]: .*Read/],
    ],
    ['an empty list', allow({ tls: { hosts: [] } }), [/^spec\.allow\[0\]\.tls\.hosts: the list is empty/]],
    [
      'an empty list of what does not lead',
      allow({ http: { hosts: ['a.test'], methods: [] } }),
      [/^spec\.allow\[0\]\.http\.methods: the list is empty/],
    ],
    ['a null list', allow({ tls: { hosts: null } }), [/^spec\.allow\[0\]\.tls\.hosts: .*null/]],
    ['a null in a list', allow({ tls: { hosts: ['a.test', null] } }), [/^spec\.allow\[0\]\.tls\.hosts\[1\]: .*null/]],
    ['a text for a list', allow({ tls: { hosts: 'a.test' } }), [/^spec\.allow\[0\]\.tls\.hosts: /]],
    [
      'too many values',
      allow({ tls: { hosts: Array.from({ length: 501 }, (_, index) => `h${index}.test`) } }),
      [/^spec\.allow\[0\]\.tls\.hosts: .*500/],
    ],
    // ── raw ──
    ['no class', allow({ raw: { tags: { a: 'b' } } }), [/^spec\.allow\[0\]\.raw\.class: it is required/]],
    [
      'a class of a later version',
      allow({ raw: { class: 'REDIS' } }),
      [/^spec\.allow\[0\]\.raw\.class: .*not in this version/],
    ],
    [
      'a tag that the class has not',
      deny({ raw: { class: 'HTTP', tags: { 'http.hots': 'a.test' } } }),
      [/^spec\.deny\[0\]\.raw\.tags\."http\.hots": .*http\.host/],
    ],
    [
      'an operation of a class without',
      deny({ raw: { class: 'tls', tags: { 'operation.type': 'READ' } } }),
      [/^spec\.deny\[0\]\.raw\.tags\."operation\.type": .*no operation/],
    ],
    [
      'an operation that is none',
      deny({ raw: { class: '*', tags: { 'operation.type': ['READ', 'RED'] } } }),
      [/^spec\.deny\[0\]\.raw\.tags\."operation\.type": "RED"/],
    ],
    [
      'a host that is none',
      deny({ raw: { class: 'HTTP', tags: { 'http.url': 'http://a.test/' } } }),
      [/^spec\.deny\[0\]\.raw\.tags\."http\.url": /],
    ],
    [
      'an empty list of values',
      deny({ raw: { class: 'HTTP', tags: { 'http.host': [] } } }),
      [/^spec\.deny\[0\]\.raw\.tags\."http\.host": the list is empty/],
    ],
  ])('%s', (_title, value, expected) => {
    const found = problemsOf(value);
    expect(found.length).toBeGreaterThan(0);
    for (const pattern of expected) expect(found).toContainEqual(expect.stringMatching(pattern));
  });

  const values: Readonly<Record<string, readonly [block: string, field: string, bad: readonly unknown[]]>> = {
    hosts: [
      'tls',
      'hosts',
      [
        '',
        ' ',
        '.',
        'a..test',
        '.a.test',
        'http://a.test',
        'a.test:443',
        'a.test/x',
        'user@a.test',
        'a test',
        'a%2etest',
        'a\0.test',
        '[a.test]',
        '***.test',
        'a**.test',
        '**a.test',
        '1.2.3',
        '0x7f000001',
        '2130706433',
        '127.1',
        '010.0.0.1',
        '10.0.0.*',
        '10.**',
        '10.0.0.0/8',
        '[10.0.0.1]',
        '[::1',
        'fe80::1%eth0',
        '::g',
        7,
        true,
        { a: 1 },
        `${'a'.repeat(64)}.test`,
        `${'a.'.repeat(127)}test`,
      ],
    ],
    names: ['dns', 'names', ['10.0.0.1', '::1', 'a b', '']],
    cidrs: [
      'tcp',
      'cidrs',
      [
        '10.0.0.0/33',
        '10.0.0.1/8',
        '10.0.0',
        '10.0.0.0/',
        '10.0.0.0/08',
        '010.0.0.0/8',
        '2001:db8::/129',
        '2001:db8::1/32',
        'a.test',
        '*',
        '',
        10,
      ],
    ],
    except: ['tcp', 'except', ['10.0.0.1/8', 'a..test', 'http://a.test', '']],
    ports: [
      'tls',
      'ports',
      [0, -1, 65536, 1.5, '0', '80-', '-80', '90-80', '80-65536', '80,443', 'http', '080', '', null, [80]],
    ],
    paths: [
      'http',
      'paths',
      ['v1', '', '**', '/a?b=1', '/a#b', '/a b', '/a//b', '/a/../b', '/a/.', '/a/***', '/%61', '/a\\b', '/a;b'],
    ],
    methods: ['http', 'methods', ['get', 'GET ', 'G*', '', 'GET,POST']],
    urls: [
      'http',
      'urls',
      [
        'a.test/x',
        'ftp://a.test',
        'http://',
        'http://a.test?x=1',
        'http://u@a.test/',
        'http://a.test:0/',
        'http://a.test:99999/',
        'http://a..test/',
        'http://a.test/a//b',
        'http://a.test/../b',
        'http://a.test/%2e',
        '//a.test/',
      ],
    ],
    'types of icmp': ['icmp', 'types', [256, -1, 'echo', '08', '']],
    'types of dns': ['dns', 'types', [16, 'A B', '', '1A']],
  };
  const leads: Readonly<Record<string, Fields>> = {
    tls: { hosts: ['a.test'] },
    tcp: { hosts: ['a.test'] },
    http: { hosts: ['a.test'] },
    icmp: { cidrs: ['0.0.0.0/0'] },
    dns: { names: ['a.test'] },
  };
  const cases = Object.entries(values).flatMap(([kind, [block, field, bad]]) =>
    bad.map((value) => ({ kind, block, field, value })),
  );

  it.each(cases)('$kind: $value', ({ block, field, value }) => {
    const lead = field === 'urls' ? {} : leads[block];
    const first = {
      hosts: 'a.test',
      names: 'a.test',
      cidrs: '10.0.0.0/8',
      except: '10.0.0.0/8',
      ports: 80,
      paths: '/',
      methods: 'GET',
      urls: 'http://a.test/',
      types: block === 'icmp' ? 8 : 'A',
    }[field];
    expect(problemsOf(allow({ [block]: { ...lead, [field]: [first] } }))).toEqual([]);
    const paths = problemsOf(allow({ [block]: { ...lead, [field]: [first, value] } })).map(
      (text) => text.split(': ')[0],
    );
    // as near as it can be said; never elsewhere
    expect(paths.length).toBeGreaterThan(0);
    for (const path of paths) expect(path).toMatch(new RegExp(`^spec\\.allow\\[0\\]\\.${block}\\.${field}(\\[1\\]|$)`));
    expect(paths.some((path) => path?.startsWith(`spec.allow[0].${block}.${field}[1]`))).toBe(true);
  });

  it('is told all that is wrong with it at once', () => {
    const found = problemsOf(
      document({ default: undefined, alow: 1, allow: [{ tls: { hosts: ['a..test'] } }, { s3: {} }] }),
    );
    expect(found.map((text) => text.split(': ')[0])).toEqual(
      expect.arrayContaining(['spec.default', 'spec.alow', 'spec.allow[0].tls.hosts[0]', 'spec.allow[1].s3']),
    );
  });

  it('cannot reach what objects inherit', () => {
    const text =
      '{"podSelector": {}, "default": "Deny", "__proto__": {"allow": []}, "allow": [{"tls": {"hosts": ["a.test"], "constructor": 1}}]}';
    const found = problemsOf(document({}, { spec: JSON.parse(text) as unknown }));
    expect(found).toContainEqual(expect.stringMatching(/^spec\.allow\[0\]\.tls\.constructor: /));
    expect(found).toContainEqual(expect.stringMatching(/^spec\.__proto__: /));
  });
});

describe('a good document', () => {
  it('keeps its rules, with the defaults filled in', () => {
    const result = validatePolicy({
      apiVersion: 'sallyport.dev/v1alpha1',
      kind: 'ClusterSecurityPolicy',
      metadata: { name: 'p', labels: { team: 'a' }, uid: '1' },
      spec: {
        podSelector: { matchLabels: { app: 'x' }, matchExpressions: [{ key: 'a', operator: 'In', values: ['b'] }] },
        namespaceSelector: {},
        default: 'Deny',
        allow: [
          {
            name: 'one',
            http: {
              hosts: ['API.test', '*.x.test', '[2001:db8::1]', '10.0.0.1', 'bücher.test'],
              paths: ['/v1/**', '*'],
              methods: ['GET', '*'],
              operations: ['Read'],
              ports: [80, '8000-8100', '81'],
              cidrs: ['10.0.0.0/8'],
            },
          },
          { http: { urls: ['http://a.test', 'http://[::1]:8080/x/*', 'http://*.b.test/'] } },
          { tls: { hosts: ['*'] } },
          { tcp: { cidrs: ['10.0.0.0/8', '2001:db8::1'], except: ['10.1.0.0/16', 'a.test'] } },
          { udp: { hosts: ['_srv._udp.a.test.'], ports: [123] } },
          { icmp: { cidrs: ['0.0.0.0/0'], types: [8, '0', '*'] } },
          { dns: { names: ['**.a.test'], types: ['TXT', 'type65280', '*'] } },
          { raw: { class: 'HTTP', tags: { 'http.url': ['a.test/x', '*'], 'operation.type': 'GET' } } },
          { raw: { class: '*', tags: { 'operation.type': 'write' } } },
        ],
        deny: [{ onViolation: 'Notify', tls: { hosts: ['b.test'] } }],
      },
      status: { anything: 1 },
    });
    expect(result).toMatchObject({ ok: true, value: { spec: { onViolation: 'Block' } } });
    if (result.ok) expect(result.value.spec.allow).toHaveLength(9);
  });
});

describe('a warning', () => {
  const warningsOf = (spec: Partial<Policy['spec']>): string[] => {
    const result = validatePolicy(document(spec));
    if (!result.ok) throw new Error(JSON.stringify(result.problems));
    for (const { severity } of result.warnings) expect(severity).toBe('warning');
    return result.warnings.map(({ path, message }) => `${path}: ${message}`);
  };

  it.each<[string, Partial<Policy['spec']>, RegExp]>([
    [
      'any address',
      { allow: [{ tcp: { hosts: ['*'], cidrs: ['0.0.0.0/0'] } }] },
      /^spec\.allow\[0\]\.tcp\.cidrs\[0\]: .*metadata/,
    ],
    [
      'an http rule for 443',
      { allow: [{ http: { hosts: ['a.test'], ports: [443] } }] },
      /^spec\.allow\[0\]\.http: .*TLS/,
    ],
    ['https', { allow: [{ http: { urls: ['https://a.test/'] } }] }, /^spec\.allow\[0\]\.http\.urls\[0\]: .*TLS/],
    ['all of AWS', { allow: [{ tls: { hosts: ['**.amazonaws.com'] } }] }, /^spec\.allow\[0\]\.tls\.hosts\[0\]: /],
    ['a policy that says nothing', { default: 'Allow' }, /^spec: /],
    ['addresses and no name', { allow: [{ tcp: { cidrs: ['192.0.2.0/24'] } }] }, /^spec\.allow: .*no name/],
    ['all datagrams denied', { default: 'Allow', deny: [{ udp: { hosts: ['*'] } }] }, /^spec\.deny\[0\]\.udp: .*DNS/],
  ])('%s', (_title, spec, expected) => {
    expect(warningsOf(spec)).toContainEqual(expect.stringMatching(expected));
  });

  const shadowed = (allowed: Policy['spec']['allow'][number], denied: Policy['spec']['deny'][number]): boolean =>
    warningsOf({ allow: [allowed], deny: [denied] }).some((text) => text.includes('can never decide'));

  it.each<[Policy['spec']['allow'][number], Policy['spec']['deny'][number], boolean]>([
    [{ tls: { hosts: ['a.test'] } }, { tls: { hosts: ['A.test.'] } }, true],
    [{ http: { hosts: ['a.test'], paths: ['/x'] } }, { tls: { hosts: ['*.test'] } }, true],
    [{ http: { urls: ['http://x.a.test/'] } }, { tcp: { hosts: ['**.test'] } }, true],
    [{ dns: { names: ['a.test'] } }, { udp: { hosts: ['*'] } }, true],
    [{ dns: { names: ['a.test'], types: ['TXT'] } }, { dns: { names: ['**.test'], types: ['txt', 'MX'] } }, true],
    [{ tcp: { cidrs: ['10.1.0.0/16'], ports: [22] } }, { tcp: { cidrs: ['10.0.0.0/8'], ports: [22, 23] } }, true],
    [{ tls: { hosts: ['a.test', 'b.test'] } }, { tls: { hosts: ['a.test'] } }, false],
    [{ tls: { hosts: ['a.test'] } }, { http: { hosts: ['a.test'] } }, false],
    [{ tls: { hosts: ['a.test'] } }, { udp: { hosts: ['a.test'] } }, false],
    [{ tls: { hosts: ['a.test'] } }, { tls: { hosts: ['a.test'], ports: [443] } }, false],
    [{ tls: { hosts: ['a.test'] } }, { tcp: { cidrs: ['10.0.0.0/8'] } }, false],
    [{ http: { hosts: ['a.test'] } }, { http: { hosts: ['a.test'], methods: ['POST'] } }, false],
    [{ tls: { hosts: ['**.test'] } }, { tls: { hosts: ['*.test'] } }, false],
    [{ tls: { hosts: ['x.y.test'] } }, { tls: { hosts: ['*.test'] } }, false],
    [{ tcp: { cidrs: ['10.0.0.0/8'] } }, { tcp: { cidrs: ['10.1.0.0/16'] } }, false],
    [{ tcp: { hosts: ['a.test'] } }, { tcp: { hosts: ['*'], except: ['a.test'] } }, false],
    [{ tls: { hosts: ['a.test'] } }, { onViolation: 'Notify', tls: { hosts: ['a.test'] } }, false],
  ])('allow %j under deny %j can never decide: %s', (allowed, denied, expected) => {
    expect(shadowed(allowed, denied)).toBe(expected);
  });

  it('none on what is as it should be', () => {
    expect(
      warningsOf({
        allow: [{ tls: { hosts: ['a.test'] } }, { tcp: { cidrs: ['192.0.2.0/24'] } }],
        deny: [{ http: { hosts: ['b.test'] } }],
      }),
    ).toEqual([]);
  });

  it('takes no long time over large policies', () => {
    const hosts = Array.from({ length: 500 }, (_, index) => `h${index}.test`);
    const allowed = Array.from({ length: 300 }, () => ({ tls: { hosts: [...hosts, 'last.test'].slice(1) } }));
    const denied = Array.from({ length: 1000 }, () => ({ tls: { hosts } }));
    const start = performance.now();
    warningsOf({ allow: allowed, deny: denied });
    expect(performance.now() - start).toBeLessThan(1000);
  });
});
