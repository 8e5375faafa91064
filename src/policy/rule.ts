/**
 * One compiled rule and its three answers about an access: yes, no, cannot tell. An allow rule decides on yes; a deny
 * rule also on cannot tell, and so cannot tell is only said where host, address and port could be the rule's own.
 */
import type { Access, ClassName } from '../model/access.ts';
import { contains, specOf } from '../model/classes.ts';
import type { Judgement } from '../model/verdict.ts';
import type { Address, Cidr } from '../platform/pure/address.ts';
import type { LoweredRule, TagTest } from './lower.ts';
import { cidrs, classifyAddress, isIn } from './match/address-class.ts';
import { compileHostGlob, compilePathGlob, compileTextGlob, type Test } from './match/glob.ts';

export const NO = 0;
export const CANNOT_TELL = 1;
export const YES = 2;
export type Match = typeof NO | typeof CANNOT_TELL | typeof YES;

interface HostTest {
  readonly pattern: string;
  readonly exact: boolean;
  readonly test: Test;
}

interface TagMatcher {
  readonly tag: string;
  readonly tests: readonly Test[];
}

/** `undefined` fields do not limit. */
export interface CompiledRule {
  readonly source: LoweredRule;
  readonly class: ClassName | 'any';
  readonly hosts: readonly HostTest[] | undefined;
  readonly hostAddresses: readonly Cidr[];
  readonly cidrs: readonly Cidr[] | undefined;
  readonly exceptCidrs: readonly Cidr[];
  readonly exceptHosts: readonly HostTest[];
  readonly ports: readonly (readonly [number, number])[] | undefined;
  readonly tags: readonly TagMatcher[];
  readonly operationTypes: readonly string[] | undefined;
  /** Judgements of this rule, made once. */
  readonly yes: Judgement;
  readonly cannotTell: Judgement;
}

/** What the snapshot knows about addresses beside the rules. */
export interface AddressFacts {
  readonly protectedRanges: readonly Cidr[];
  /** Names that the firewall answers itself, with the addresses that stand for them. */
  readonly virtualHosts: ReadonlyMap<string, readonly Address[]>;
  /** Asks what would be, were every address as good as another: to say why an access is denied. */
  readonly anyAddress?: boolean;
}

export function compileRule(source: LoweredRule): CompiledRule {
  const deny = source.effect === 'deny';
  return {
    source,
    class: source.class,
    hosts: source.hosts?.map(hostTest),
    hostAddresses: cidrs(...source.hostAddresses),
    cidrs: source.cidrs === undefined ? undefined : cidrs(...source.cidrs),
    exceptCidrs: cidrs(...source.exceptCidrs),
    exceptHosts: source.exceptHosts.map(hostTest),
    ports: source.ports,
    tags: source.tags.map(compileTagTest),
    operationTypes: source.operationTypes,
    yes: { effect: source.effect, reason: deny ? 'deny-rule' : 'rule', by: source.ref },
    cannotTell: { effect: 'deny', reason: 'deny-rule-cannot-tell', by: source.ref },
  };
}

function hostTest(pattern: string): HostTest {
  return { pattern, exact: !pattern.includes('*'), test: compileHostGlob(pattern) };
}

function compileTagTest({ tag, glob, values }: TagTest): TagMatcher {
  const compile = { path: compilePathGlob, text: compileTextGlob, host: compileHostGlob, exact: compileExact }[glob];
  return { tag, tests: values.map((value) => compile(value)) };
}

function compileExact(value: string): Test {
  return (candidate) => candidate === value;
}

export function matchRule(rule: CompiledRule, access: Access, facts: AddressFacts): Match {
  let match = matchClass(rule, access);
  if (match === NO || !portMatches(rule, access.destination.port)) return NO;
  const destination =
    rule.source.effect === 'allow'
      ? matchAllowedDestination(rule, access, facts)
      : matchDeniedDestination(rule, access);
  if (destination === NO) return NO;
  if (destination < match) match = destination;
  for (const { tag, tests } of rule.tags) {
    const value = access.tags[tag];
    if (value === undefined) match = CANNOT_TELL;
    else if (!tests.some((test) => test(value))) return NO;
  }
  if (rule.operationTypes !== undefined) {
    const { type } = access.operation;
    if (type === undefined) match = CANNOT_TELL;
    else if (!rule.operationTypes.includes(type)) return NO;
  }
  return match;
}

/** A rule of the same or a wider class judges the access; of a narrower one, only what nobody looked into could be its own. */
function matchClass(rule: CompiledRule, access: Access): Match {
  if (rule.class === 'any' || rule.class === access.class || contains(rule.class, access.class)) return YES;
  return access.doubt !== undefined && contains(access.class, rule.class) ? CANNOT_TELL : NO;
}

export function portMatches(rule: CompiledRule, port: number): boolean {
  return rule.ports === undefined || rule.ports.some(([first, last]) => port >= first && port <= last);
}

/** For an allow rule: the address must be one that the rule's own words cover. */
function matchAllowedDestination(rule: CompiledRule, access: Access, facts: AddressFacts): Match {
  const { address } = access.destination;
  // a query goes to our own resolvers, whichever it was sent to
  const anyAddress = facts.anyAddress === true || access.class === 'dns';
  const inRange = rule.cidrs !== undefined && isIn(address, rule.cidrs);
  if (rule.cidrs !== undefined && !inRange && (rule.hosts === undefined || facts.anyAddress !== true)) return NO;
  if (isExcepted(rule, access)) return NO;
  const inCidrs = inRange && (anyAddress || isMeant(address, rule.cidrs, facts));
  if (rule.hosts === undefined) return inRange && !inCidrs ? NO : YES;
  if (isIn(address, rule.hostAddresses) && literalAgrees(access)) return YES;
  let match: Match = NO;
  for (const host of rule.hosts) {
    const answer = matchAllowedHost(rule, host, access);
    if (answer === NO) continue;
    if (!inCidrs && !anyAddress && !mayAnswerWith(host.pattern, host.exact, address, facts)) continue;
    if (answer === YES) return YES;
    match = CANNOT_TELL;
  }
  return match;
}

/** An address among the hosts allows what was asked for by that address, or by no name. */
function literalAgrees({ destination }: Access): boolean {
  return destination.requestedName === undefined || destination.requestedName === destination.address.text;
}

function matchAllowedHost(rule: CompiledRule, host: HostTest, access: Access): Match {
  const { requestedName, names } = access.destination;
  if (host.pattern === '*') return YES;
  const carriesName = rule.class !== 'any' && specOf(rule.class).carriesName;
  if (!carriesName) return names.some((name) => host.test(name)) ? YES : NO;
  if (requestedName !== undefined) {
    // a name that nobody bound to this address is only what the client says
    return names.includes(requestedName) && host.test(requestedName) ? YES : NO;
  }
  if (!names.some((name) => host.test(name))) return NO;
  // two names, or one that cannot be read: which was asked for is not known
  return access.doubt === 'ambiguous-name' || access.doubt === 'malformed' ? CANNOT_TELL : YES;
}

/** Whether a name that the pattern matches may answer with the address, without `cidrs` of the rule. */
export function mayAnswerWith(pattern: string, exact: boolean, address: Address, facts: AddressFacts): boolean {
  const virtual = virtualName(address, facts);
  if (virtual !== undefined) return exact && pattern === virtual;
  const kind = classifyAddress(address, facts.protectedRanges);
  return kind === 'public' || (kind === 'private' && exact);
}

/** The name that the firewall itself answers with this address. */
function virtualName(address: Address, facts: AddressFacts): string | undefined {
  for (const [name, addresses] of facts.virtualHosts) {
    if (addresses.some((virtual) => virtual.text === address.text)) return name;
  }
  return undefined;
}

/** An address that the firewall itself gives a meaning, as the host's loopback, is meant by narrow ranges: `0.0.0.0/0` is no word of it. */
function isMeant(address: Address, ranges: readonly Cidr[], facts: AddressFacts): boolean {
  if (virtualName(address, facts) === undefined) return true;
  return ranges.some((range) => range.prefix >= (address.family === 4 ? 24 : 48) && isIn(address, [range]));
}

/** For a deny rule: any name that it has or claims counts. */
function matchDeniedDestination(rule: CompiledRule, access: Access): Match {
  const { address, requestedName, names } = access.destination;
  if (rule.cidrs !== undefined && !isIn(address, rule.cidrs)) return NO;
  if (isExcepted(rule, access)) return NO;
  if (rule.hosts === undefined) return YES;
  if (isIn(address, rule.hostAddresses)) return YES;
  for (const host of rule.hosts) {
    if (host.pattern === '*') return YES;
    if (requestedName !== undefined && host.test(requestedName)) return YES;
    if (names.some((name) => host.test(name))) return YES;
  }
  const carriesName = rule.class !== 'any' && specOf(rule.class).carriesName;
  // a tunnel's far end, a request in HTTP/2, a server's own choice where no name was sent: bound names do not tell
  return carriesName && requestedName === undefined && access.doubt !== undefined && rule.hosts.length > 0
    ? CANNOT_TELL
    : NO;
}

function isExcepted(rule: CompiledRule, { destination }: Access): boolean {
  if (rule.exceptCidrs.length > 0 && isIn(destination.address, rule.exceptCidrs)) return true;
  // with several names on an address, one that is excepted takes an allow rule away; a deny rule keeps what has another
  if (rule.exceptHosts.length === 0) return false;
  const { names, requestedName } = destination;
  const isNamed = (name: string): boolean => rule.exceptHosts.some((host) => host.test(name));
  if (rule.source.effect === 'deny') return names.length > 0 && names.every(isNamed);
  return names.some(isNamed) || (requestedName !== undefined && isNamed(requestedName));
}
