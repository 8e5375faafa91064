/**
 * From typed blocks to the one shape that the engine knows: a class, where it may lead, and tests on tags. Plain JSON, so
 * that a snapshot can be hashed and sent. Input: policies that validation admitted. Values are canonical here.
 */
import type { Block, Policy, Port, RawBlock, Rule } from '../api/policy.ts';
import type { ClassName, OperationType } from '../model/access.ts';
import { CLASSES, contains, type FieldKind } from '../model/classes.ts';
import type { Effect, RuleRef } from '../model/verdict.ts';
import { parseCidr } from '../platform/pure/address.ts';
import { classOfRaw } from '../api/raw-classes.ts';
import { canonicalHost } from '../platform/pure/host.ts';
import { canonicalHostPattern, parseUrlPattern } from '../platform/pure/patterns.ts';

export type Scope = 'cluster' | 'namespace';

export interface TagTest {
  readonly tag: string;
  readonly glob: 'path' | 'text' | 'host' | 'exact';
  readonly values: readonly string[];
}

export interface LoweredRule {
  readonly effect: Effect;
  readonly ref: RuleRef;
  /** What a violation of this rule does; of an allow rule, that of its policy. */
  readonly enforced: boolean;
  readonly class: ClassName | 'any';
  /** Canonical host patterns; `*` any. Absent: hosts do not matter. */
  readonly hosts: readonly string[] | undefined;
  /** Addresses among the hosts. */
  readonly hostAddresses: readonly string[];
  readonly cidrs: readonly string[] | undefined;
  readonly exceptCidrs: readonly string[];
  readonly exceptHosts: readonly string[];
  /** Inclusive ranges; absent: any. */
  readonly ports: readonly (readonly [number, number])[] | undefined;
  readonly tags: readonly TagTest[];
  readonly operationTypes: readonly OperationType[] | undefined;
}

export interface LoweredPolicy {
  readonly scope: Scope;
  readonly name: string;
  readonly enforced: boolean;
  readonly deniesByDefault: boolean;
  /** Of the same scope. */
  readonly replaces: string | undefined;
  readonly rules: readonly LoweredRule[];
}

export function lowerPolicy(policy: Policy): LoweredPolicy {
  const { spec, metadata, kind } = policy;
  const name = metadata.namespace === undefined ? metadata.name : `${metadata.namespace}/${metadata.name}`;
  const blocks = spec.onViolation === 'Block';
  const rules = (['allow', 'deny'] as const).flatMap((effect) =>
    spec[effect].flatMap((rule, index) => {
      const ref: RuleRef = { kind, policy: name, rule: rule.name ?? `${effect}[${index}]` };
      const enforced = rule.onViolation === undefined ? blocks : rule.onViolation === 'Block';
      return lowerRule(rule, { effect, ref, enforced });
    }),
  );
  return {
    scope: kind === 'ClusterSecurityPolicy' ? 'cluster' : 'namespace',
    name,
    enforced: blocks,
    deniesByDefault: spec.default === 'Deny',
    replaces: spec.replaces === undefined ? undefined : qualify(spec.replaces, metadata.namespace),
    rules,
  };
}

function qualify(name: string, namespace: string | undefined): string {
  return namespace === undefined || name.includes('/') ? name : `${namespace}/${name}`;
}

/** One rule; of `urls`, one for each URL, as each has its own hosts, paths and ports. */
function lowerRule(rule: Rule, head: Pick<LoweredRule, 'effect' | 'ref' | 'enforced'>): LoweredRule[] {
  if (rule.raw !== undefined) return [lowerRaw(rule.raw, head)];
  for (const { block, class: name, fields } of CLASSES) {
    const values = block === undefined ? undefined : (rule as Readonly<Record<string, unknown>>)[block];
    if (values === undefined) continue;
    const given = values as Block;
    const tags: TagTest[] = [];
    for (const [field, { kind, tag }] of Object.entries(fields)) {
      const list = (given as Readonly<Record<string, readonly (string | number)[] | undefined>>)[field];
      if (tag === undefined || list === undefined || list.some((value) => isAny(kind, String(value)))) continue;
      tags.push(tagTest(kind, tag, list.map(String)));
    }
    if (given.urls === undefined)
      return [{ ...head, class: name, ...lowerDestination(given), tags, operationTypes: given.operations }];
    return given.urls.flatMap((text) => {
      const url = parseUrlPattern(text);
      if (url === undefined) return [];
      const destination = lowerDestination({ ...given, hosts: [url.host], ports: given.ports ?? [url.port] });
      const paths: TagTest[] = isAny('paths', url.path) ? [] : [{ tag: 'http.path', glob: 'path', values: [url.path] }];
      return [{ ...head, class: name, ...destination, tags: [...tags, ...paths], operationTypes: given.operations }];
    });
  }
  return [];
}

/** Any value limits nothing, not even what cannot be told. But what has no name is no query, whatever names are allowed. */
function isAny(kind: FieldKind, value: string): boolean {
  return kind !== 'names' && (value === '*' || (kind === 'paths' && value === '/**'));
}

function tagTest(kind: FieldKind, tag: string, values: readonly string[]): TagTest {
  if (kind === 'paths') return { tag, glob: 'path', values };
  if (kind === 'names')
    return { tag, glob: 'host', values: values.map((value) => canonicalHostPattern(value) ?? value) };
  if (kind === 'types') return { tag, glob: 'text', values: values.map((value) => value.toUpperCase()) };
  return { tag, glob: 'text', values };
}

function lowerDestination(
  block: Block,
): Pick<LoweredRule, 'hosts' | 'hostAddresses' | 'cidrs' | 'exceptCidrs' | 'exceptHosts' | 'ports'> {
  const split = splitHosts(block.hosts ?? []);
  const except = splitHosts(block.except ?? []);
  return {
    hosts: block.hosts === undefined ? undefined : split.names,
    hostAddresses: split.addresses,
    cidrs: block.cidrs?.map((text) => parseCidr(text)?.text ?? text),
    exceptCidrs: except.addresses,
    exceptHosts: except.names,
    ports: block.ports?.map(portRange),
  };
}

function splitHosts(hosts: readonly string[]): { readonly names: string[]; readonly addresses: string[] } {
  const names: string[] = [];
  const addresses: string[] = [];
  for (const host of hosts) {
    const cidr = parseCidr(host.startsWith('[') ? host.slice(1, -1) : host);
    if (cidr !== undefined) addresses.push(cidr.text);
    else names.push(canonicalHostPattern(host) ?? host);
  }
  return { names, addresses };
}

function portRange(port: Port): readonly [number, number] {
  if (typeof port === 'number') return [port, port];
  const [first = '', last = first] = port.split('-');
  return [Number(first), Number(last)];
}

/** A tag that tells the host is what the client says: the rule goes by it only where the address is that host's. */
const HOST_TAGS: ReadonlySet<string> = new Set(['http.host', 'http.url', 'tls.sni']);

function lowerRaw(
  { class: name, tags = {} }: RawBlock,
  head: Pick<LoweredRule, 'effect' | 'ref' | 'enforced'>,
): LoweredRule {
  const meant = classOfRaw(name) ?? 'any';
  const tests: TagTest[] = [];
  // any host, which metadata services and the like are not among
  let hosts = meant === 'dns' || meant === 'icmp' ? undefined : ['*'];
  let operationTypes: OperationType[] | undefined;
  for (const [tag, given] of Object.entries(tags)) {
    const written = typeof given === 'string' ? [given] : [...given];
    if (written.includes('*')) continue;
    const values = HOST_TAGS.has(tag) ? written.map(canonicalHostTag) : written;
    if (HOST_TAGS.has(tag)) hosts = values.map(hostOfTag);
    // cleartext within a rule for TLS has a host, and no such tag
    if (tag === 'tls.sni') continue;
    // for HTTP the tool that these rules come from had the method as type
    if (tag !== 'operation.type') tests.push({ tag, glob: 'exact', values });
    else if (meant !== 'any' && contains('http', meant)) tests.push({ tag: 'http.method', glob: 'exact', values });
    else operationTypes = values.flatMap(widenOperationType);
  }
  const split = splitHosts(hosts ?? []);
  const place = { hosts: hosts === undefined ? undefined : split.names, hostAddresses: split.addresses };
  const none = { cidrs: undefined, exceptCidrs: [], exceptHosts: [], ports: undefined };
  return { ...head, class: meant, ...place, ...none, tags: tests, operationTypes };
}

/** `api.example.com/v1` → `api.example.com`. */
function hostOfTag(value: string): string {
  const slash = value.indexOf('/');
  return slash < 0 ? value : value.slice(0, slash);
}

function canonicalHostTag(value: string): string {
  const host = hostOfTag(value);
  return `${canonicalHost(host) ?? host}${value.slice(host.length)}`;
}

/** There, a delete was a write and a listing a read. */
function widenOperationType(name: string): OperationType[] {
  const type = `${name.charAt(0).toUpperCase()}${name.slice(1).toLowerCase()}` as OperationType;
  if (type === 'Write') return ['Write', 'Delete'];
  return type === 'Read' ? ['Read', 'List'] : [type];
}
