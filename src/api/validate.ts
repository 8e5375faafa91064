/**
 * The one strict validation of a policy, at admission and again before it is compiled. Input: a parsed document. Output:
 * the policy, or every problem with the path of its field and what to do. Nothing that is misspelt, null or empty ever
 * means "any".
 */
import type { z } from 'zod';
import type { ClassName } from '../model/access.ts';
import { CLASSES, contains, LATER_BLOCKS } from '../model/classes.ts';
import { parseCidr } from '../platform/pure/address.ts';
import type { Problem, Result } from '../platform/pure/problem.ts';
import { canonicalHost } from '../platform/pure/host.ts';
import { canonicalHostPattern, isMethod, isPathPattern, parseUrlPattern } from '../platform/pure/patterns.ts';
import {
  API_VERSION,
  clusterSecurityPolicySchema,
  MAX_RULES,
  OPERATION_TYPES,
  securityPolicySchema,
  type Block,
  type Policy,
  type RawBlock,
  type Rule,
} from './policy.ts';
import { classOfRaw } from './raw-classes.ts';
import { warnAbout } from './warnings.ts';

export function validatePolicy(document: unknown): Result<Policy> {
  if (!isRecord(document))
    return refuse([
      problem('', 'a policy is a mapping of fields', 'Begin it with apiVersion, kind, metadata and spec.'),
    ]);
  const { kind, apiVersion } = document;
  if (kind !== 'SecurityPolicy' && kind !== 'ClusterSecurityPolicy') {
    return refuse([
      problem('kind', `${show(kind)} is no kind of this version`, 'Write SecurityPolicy or ClusterSecurityPolicy.'),
    ]);
  }
  if (apiVersion !== API_VERSION) {
    return refuse([problem('apiVersion', `${show(apiVersion)} is not known`, `Write ${API_VERSION}.`)]);
  }
  const empty = findEmpty(document['spec'], 'spec');
  const blocks = findBlockProblems(document['spec']);
  const parsed = (kind === 'SecurityPolicy' ? securityPolicySchema : clusterSecurityPolicySchema).safeParse(document);
  if (!parsed.success) {
    const found = parsed.error.issues.flatMap((issue) => problemsOf(issue, document));
    // what a misspelt field holds is no concern
    const unknown = new Set(
      parsed.error.issues
        .flatMap((issue) => (issue.code === 'unrecognized_keys' ? problemsOf(issue, document) : []))
        .map(({ path }) => path),
    );
    const kept = [...empty.filter(({ path }) => !unknown.has(path)), ...blocks];
    const paths = new Set(kept.map(({ path }) => path));
    const shape = [...kept, ...found.filter(({ path }) => !paths.has(path))];
    return refuse([...shape, ...checkSoundRules(document['spec'], shape)]);
  }
  // the schema is made from a table at run time: its type says less than it checks
  const policy = parsed.data as unknown as Policy;
  const problems = [...empty, ...blocks, ...checkSpec(policy)];
  if (problems.length > 0) return refuse(problems);
  return { ok: true, value: policy, warnings: warnAbout(policy) };
}

function refuse(problems: readonly Problem[]): Result<Policy> {
  return { ok: false, problems };
}

function problem(path: string, message: string, remedy: string): Problem {
  return { path, message, remedy, severity: 'error' };
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

// ── what the schema cannot say well ──────────────────────────────────────────────────────────────────────────────

/** Nulls anywhere, and empty lists and mappings where they could be taken for "any". */
function findEmpty(value: unknown, path: string): Problem[] {
  if (value === null) {
    return [
      problem(path, 'it is null, as an empty value or template leaves it', 'Give it a value, or remove the field.'),
    ];
  }
  if (Array.isArray(value)) {
    const mayBeEmpty = path === 'spec.allow' || path === 'spec.deny';
    if (value.length === 0 && !mayBeEmpty)
      return [problem(path, 'the list is empty', 'Write ["*"] for any, or remove the field.')];
    return value.flatMap((item, index) => findEmpty(item, `${path}[${index}]`));
  }
  if (isRecord(value)) return Object.entries(value).flatMap(([name, inner]) => findEmpty(inner, join(path, name)));
  return [];
}

const BLOCKS = [...CLASSES.flatMap(({ block }) => block ?? []), 'raw'];

function findBlockProblems(spec: unknown): Problem[] {
  if (!isRecord(spec)) return [];
  return ['allow', 'deny'].flatMap((list) => {
    const rules = spec[list];
    if (!Array.isArray(rules)) return [];
    return rules.flatMap((rule: unknown, index) =>
      isRecord(rule) ? blockProblemsOf(rule, `spec.${list}[${index}]`) : [],
    );
  });
}

function blockProblemsOf(rule: Readonly<Record<string, unknown>>, path: string): Problem[] {
  const problems: Problem[] = [];
  const later = Object.keys(rule).filter((name) => LATER_BLOCKS.includes(name));
  for (const name of later) {
    problems.push(
      problem(
        join(path, name),
        `the block ${name} is not in this version`,
        `This version judges ${BLOCKS.join(', ')}: write the rule by one of these, or remove it.`,
      ),
    );
  }
  const blocks = Object.keys(rule).filter((name) => BLOCKS.includes(name));
  if (blocks.length + later.length > 1) {
    problems.push(
      problem(
        path,
        `a rule holds exactly one block; found: ${[...blocks, ...later].join(' ')}`,
        'Write one rule for each.',
      ),
    );
  }
  if (blocks.length + later.length === 0) {
    problems.push(problem(path, 'the rule has no block, so it says nothing', `Write one of ${BLOCKS.join(', ')}.`));
  }
  for (const name of blocks) {
    const block = rule[name];
    const spec = CLASSES.find((entry) => entry.block === name);
    if (!isRecord(block) || spec === undefined) continue;
    const given = spec.leading.filter((field) => field in block);
    if (given.length === 0) {
      const wanted = spec.leading.map((field) => `${field}: ["*"]`);
      const any =
        spec.leading.includes('cidrs') && !spec.leading.includes('hosts')
          ? 'cidrs: [0.0.0.0/0, "::/0"]'
          : (wanted[0] ?? '');
      problems.push(
        problem(
          join(path, name),
          `${spec.leading.join(' or ')} is required`,
          `Say what it may reach; ${any} means any.`,
        ),
      );
    }
    if (name === 'http' && given.length > 1) {
      problems.push(
        problem(
          join(path, name),
          'hosts and urls are two ways to say the same',
          'Use one of them; a second rule can use the other.',
        ),
      );
    }
    if ('urls' in block && 'paths' in block) {
      problems.push(
        problem(
          join(join(path, name), 'paths'),
          'the urls already say the paths',
          'Remove paths, or write hosts instead of urls.',
        ),
      );
    }
  }
  return problems;
}

// ── what the schema found ────────────────────────────────────────────────────────────────────────────────────────

function problemsOf(issue: z.core.$ZodIssue, document: unknown): Problem[] {
  const path = pathOf(issue.path);
  if (issue.code === 'unrecognized_keys') {
    // what others named without bound is not compared with all that is known
    return issue.keys.slice(0, MAX_UNKNOWN_KEYS).map((key) => {
      const guess = nearest(key, knownNames());
      const remedy = guess === undefined ? 'Remove it.' : `Did you mean ${guess}?`;
      return problem(join(path, key), `${key} is no field here`, remedy);
    });
  }
  if (valueAt(document, issue.path) === undefined) {
    return [
      problem(
        path,
        'it is required',
        path === 'spec.default' ? 'Write default: Deny (an allowlist) or default: Allow (a denylist).' : 'Add it.',
      ),
    ];
  }
  if (issue.code === 'invalid_value') {
    return [
      problem(path, 'the value is not one of those possible', `Write one of ${issue.values.map(String).join(', ')}.`),
    ];
  }
  if (issue.code === 'invalid_union' || path.endsWith('.ports') || /\.ports\[\d+\]$/.test(path)) {
    return [
      problem(path, 'it is no port or range of ports', 'Write a number from 1 to 65535, or a range as "8000-8100".'),
    ];
  }
  if (issue.code === 'too_big')
    return [problem(path, `there are more than ${String(issue.maximum)}`, 'Split it into several rules or policies.')];
  return [problem(path, issue.message, 'See docs/policy.md for what this field takes.')];
}

const MAX_UNKNOWN_KEYS = 100;

function valueAt(document: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>(
    (value, part) => (typeof value === 'object' && value !== null ? Reflect.get(value, part) : undefined),
    document,
  );
}

function pathOf(path: readonly PropertyKey[]): string {
  let text = '';
  for (const part of path) text = typeof part === 'number' ? `${text}[${part}]` : join(text, String(part));
  return text;
}

function join(path: string, name: string): string {
  const safe = /^[A-Za-z_][\w-]*$/.test(name) ? name : JSON.stringify(name);
  return path === '' ? safe : `${path}.${safe}`;
}

function knownNames(): readonly string[] {
  const fields = CLASSES.flatMap(({ fields: own }) => Object.keys(own));
  return [
    ...new Set([
      ...BLOCKS,
      ...fields,
      'allow',
      'deny',
      'default',
      'onViolation',
      'podSelector',
      'namespaceSelector',
      'replaces',
      'name',
      'class',
      'tags',
      'metadata',
      'spec',
      'kind',
      'apiVersion',
      'matchLabels',
      'matchExpressions',
    ]),
  ];
}

/** The known name within two edits, if there is one. */
function nearest(name: string, known: readonly string[]): string | undefined {
  const limit = name.length <= 4 ? 1 : 2;
  return known
    .map((candidate) => ({ candidate, edits: editDistance(name.toLowerCase(), candidate.toLowerCase()) }))
    .filter(({ edits }) => edits <= limit)
    .sort((a, b) => a.edits - b.edits)[0]?.candidate;
}

/** Letters changed, left out, added, or two that changed places. */
function editDistance(a: string, b: string): number {
  let before: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const change = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      const swap =
        i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1] ? (before[j - 2] ?? 0) + 1 : Infinity;
      next.push(Math.min(change, swap, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    before = row;
    row = next;
  }
  return row[b.length] ?? 0;
}

// ── values ───────────────────────────────────────────────────────────────────────────────────────────────────────

function checkSpec({ kind, spec, metadata }: Policy): Problem[] {
  const problems: Problem[] = [];
  const names = new Set<string>();
  for (const list of ['allow', 'deny'] as const) {
    spec[list].forEach((rule, index) => {
      const path = `spec.${list}[${index}]`;
      if (rule.name !== undefined) {
        if (names.has(rule.name))
          problems.push(
            problem(`${path}.name`, `another rule is named ${rule.name}`, 'Give each rule a name of its own, or none.'),
          );
        names.add(rule.name);
      }
      problems.push(...checkRule(rule, path));
    });
  }
  if (spec.replaces !== undefined && spec.onViolation !== 'Notify') {
    problems.push(
      problem(
        'spec.replaces',
        'only a policy on trial replaces another',
        'Write onViolation: Notify, or remove replaces.',
      ),
    );
  }
  if (spec.replaces !== undefined && spec.replaces === metadata.name) {
    problems.push(
      problem('spec.replaces', 'it names the policy itself', `Name the ${kind} that this one would stand in for.`),
    );
  }
  return problems;
}

/** The values of those rules of a bad document whose shape is good, so that all is told at once. */
function checkSoundRules(spec: unknown, shape: readonly Problem[]): Problem[] {
  if (!isRecord(spec)) return [];
  return ['allow', 'deny'].flatMap((list) => {
    const rules = spec[list];
    if (!Array.isArray(rules) || rules.length > MAX_RULES) return [];
    return rules.flatMap((rule: unknown, index) => {
      const path = `spec.${list}[${index}]`;
      const sound =
        isRecord(rule) && !shape.some((found) => found.path === `spec.${list}` || found.path.startsWith(path));
      return sound ? checkRule(rule, path) : [];
    });
  });
}

function checkRule(rule: Rule, path: string): Problem[] {
  if (rule.raw !== undefined) {
    const meant = classOfRaw(rule.raw.class);
    if (meant !== undefined) return checkTags(rule.raw, meant, `${path}.raw.tags`);
    return [
      problem(
        `${path}.raw.class`,
        `the class ${rule.raw.class} is not in this version`,
        `This version judges ${CLASSES.map((spec) => spec.class).join(', ')} and HTTP.`,
      ),
    ];
  }
  for (const { block } of CLASSES) {
    const values = block === undefined ? undefined : (rule as Readonly<Record<string, unknown>>)[block];
    if (block !== undefined && values !== undefined) return checkBlock(values as Block, block, `${path}.${block}`);
  }
  return [];
}

interface ValueCheck {
  readonly field: keyof Block;
  readonly ok: (value: string) => boolean;
  readonly message: string;
  readonly remedy: string;
}

const HOST_REMEDY =
  'Write a host name as api.example.com, *.example.com (one label) or **.example.com (one or more), or * for any; no scheme, port or path.';
const CHECKS: readonly ValueCheck[] = [
  { field: 'hosts', ok: isHost, message: 'is no host name', remedy: HOST_REMEDY },
  { field: 'names', ok: isName, message: 'is no name', remedy: HOST_REMEDY },
  {
    field: 'urls',
    ok: (text) => parseUrlPattern(text) !== undefined,
    message: 'is no URL pattern',
    remedy: 'Write it as http://api.example.com/v1/**, without query, user or fragment.',
  },
  {
    field: 'cidrs',
    ok: (text) => parseCidr(text) !== undefined,
    message: 'is no address or range',
    remedy: 'Write it as 10.20.0.0/16, 2001:db8::/32 or an address; no bit may be set beyond the prefix.',
  },
  {
    field: 'except',
    ok: (text) => parseCidr(text) !== undefined || isHost(text),
    message: 'is no address, range or host name',
    remedy: 'Write it as 10.20.7.0/24 or old.example.com.',
  },
  {
    field: 'paths',
    ok: isPathPattern,
    message: 'is no path pattern',
    remedy:
      'Begin it with a slash, as /v1/**, decoded and without query, dot segments or double slashes; * alone is any.',
  },
  {
    field: 'methods',
    ok: (text) => text === '*' || isMethod(text),
    message: 'is no method',
    remedy: 'Write it in capitals, as GET; methods are compared with case.',
  },
];

function checkBlock(block: Block, name: string, path: string): Problem[] {
  const problems = CHECKS.flatMap(({ field, ok, message, remedy }) =>
    (block[field] ?? []).flatMap((value, index) =>
      ok(String(value)) ? [] : [problem(`${path}.${field}[${index}]`, `${show(value)} ${message}`, remedy)],
    ),
  );
  (block.ports ?? []).forEach((port, index) => {
    if (typeof port === 'string' && !isPortRange(port)) {
      problems.push(
        problem(
          `${path}.ports[${index}]`,
          `${show(port)} is no port or range of ports`,
          'Write a number from 1 to 65535, or a range as "8000-8100".',
        ),
      );
    }
  });
  (block.types ?? []).forEach((type, index) => {
    const { ok, message, remedy } = name === 'icmp' ? ICMP_TYPE : DNS_TYPE;
    if (!ok(type)) problems.push(problem(`${path}.types[${index}]`, `${show(type)} ${message}`, remedy));
  });
  return problems;
}

const ICMP_TYPE = {
  ok: (type: string | number) =>
    typeof type === 'number' || type === '*' || /^(\d|[1-9]\d|1\d\d|2[0-4]\d|25[0-5])$/.test(type),
  message: 'is no type of ICMP message',
  remedy: 'Write its number; 8 (128 in IPv6) is the echo request.',
};
const DNS_TYPE = {
  ok: (type: string | number) => typeof type === 'string' && (type === '*' || /^[a-z][a-z0-9-]{0,15}$/i.test(type)),
  message: 'is no type of DNS record',
  remedy: 'Write its name, as TXT, or TYPE65280 where it has none.',
};

/** Of what no access has, a rule could tell nothing, and would deny all or allow none. */
function checkTags({ tags = {} }: RawBlock, meant: ClassName | 'any', path: string): Problem[] {
  const specs = CLASSES.filter((spec) => meant === 'any' || spec.class === meant);
  const known = new Set(
    specs.flatMap(({ fields, tags: more }) => [...Object.values(fields).flatMap(({ tag }) => tag ?? []), ...more]),
  );
  const hasOperations = specs.some((spec) => spec.hasOperations);
  return Object.entries(tags).flatMap(([tag, given]) => {
    const at = join(path, tag);
    const values = typeof given === 'string' ? [given] : given;
    if (tag === 'operation.type') {
      if (!hasOperations) return [problem(at, `accesses of the class ${meant} have no operation`, 'Remove it.')];
      const takesMethods = meant !== 'any' && contains('http', meant);
      const ok = (value: string): boolean =>
        value === '*' ||
        (takesMethods ? isMethod(value) : OPERATION_TYPES.some((type) => type.toUpperCase() === value.toUpperCase()));
      const remedy = takesMethods
        ? 'Write methods as GET, POST, or * for any.'
        : `Write ${OPERATION_TYPES.join(', ')}, or * for any.`;
      return values.every(ok)
        ? []
        : [problem(at, `${show(values.find((value) => !ok(value)))} is no operation`, remedy)];
    }
    if (!known.has(tag))
      return [
        problem(
          at,
          `accesses of the class ${meant} have no tag ${tag}`,
          known.size === 0 ? 'Remove it.' : `They have ${[...known].join(', ')}.`,
        ),
      ];
    if (!HOST_TAG.test(tag)) return [];
    const wrong = values.find((value) => value !== '*' && canonicalHost(value.split('/', 1)[0] ?? '') === undefined);
    return wrong === undefined
      ? []
      : [
          problem(
            at,
            `${show(wrong)} begins with no host name`,
            'Write the host as api.example.com; values are compared as they are, only * alone is any.',
          ),
        ];
  });
}

const HOST_TAG = /^(http\.host|http\.url|tls\.sni)$/;

function isHost(text: string): boolean {
  return canonicalHostPattern(text) !== undefined;
}

function isName(text: string): boolean {
  return canonicalHostPattern(text) !== undefined && parseCidr(text) === undefined;
}

function isPortRange(text: string): boolean {
  const match = /^([1-9]\d{0,4})(?:-([1-9]\d{0,4}))?$/.exec(text);
  if (match === null) return false;
  const first = Number(match[1]);
  const last = Number(match[2] ?? match[1]);
  return first <= last && last <= 65535;
}

function show(value: unknown): string {
  const text =
    typeof value === 'string' ? JSON.stringify(value) : value === undefined ? 'nothing' : JSON.stringify(value);
  return text.length > 80 ? `${text.slice(0, 77)}…` : text;
}
