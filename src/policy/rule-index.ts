/**
 * Finds the rules that could match a destination without asking every rule: by exact name, by the literal end of a
 * starred name, by address. Order of the rules plays no part in what is answered.
 */
import type { Access } from '../model/access.ts';
import { contains } from '../model/classes.ts';
import type { Address, Cidr } from '../platform/pure/address.ts';
import { literalSuffix } from './match/glob.ts';
import { CANNOT_TELL, matchRule, portMatches, YES, type AddressFacts, type CompiledRule } from './rule.ts';

export interface RuleIndex {
  readonly rules: readonly CompiledRule[];
  /** Rules that any destination may meet. */
  readonly anywhere: readonly CompiledRule[];
  /** Rules for any host by name. */
  readonly anyHost: readonly CompiledRule[];
  readonly byName: ReadonlyMap<string, readonly CompiledRule[]>;
  readonly bySuffix: ReadonlyMap<string, readonly CompiledRule[]>;
  readonly byAddress: { readonly 4: CidrTrie; readonly 6: CidrTrie };
  /** Rules with names: what an access without a name must be held against. */
  readonly named: readonly CompiledRule[];
  readonly facts: AddressFacts;
}

export function buildRuleIndex(rules: readonly CompiledRule[], facts: AddressFacts): RuleIndex {
  const anywhere: CompiledRule[] = [];
  const byName = new Map<string, CompiledRule[]>();
  const bySuffix = new Map<string, CompiledRule[]>();
  const byAddress = { 4: createCidrTrie(32), 6: createCidrTrie(128) };
  const insert = (cidr: Cidr, rule: CompiledRule): void => {
    byAddress[cidr.address.family].insert(cidr, rule);
  };
  for (const rule of rules) {
    if (rule.hosts === undefined || rule.hosts.some((host) => host.pattern === '*')) {
      if (rule.cidrs === undefined) anywhere.push(rule);
      else for (const cidr of rule.cidrs) insert(cidr, rule);
      continue;
    }
    for (const cidr of rule.hostAddresses) insert(cidr, rule);
    for (const host of rule.hosts) {
      if (host.exact) append(byName, host.pattern, rule);
      else append(bySuffix, literalSuffix(host.pattern), rule);
    }
  }
  const named = rules.filter((rule) => rule.hosts !== undefined && rule.hosts.length > 0);
  const anyHost = rules.filter((rule) => rule.hosts?.some((host) => host.pattern === '*') ?? false);
  return { rules, anywhere, anyHost, byName, bySuffix, byAddress, named, facts };
}

function append(map: Map<string, CompiledRule[]>, key: string, rule: CompiledRule): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [rule]);
  else if (list.at(-1) !== rule) list.push(rule);
}

export interface Found {
  /** A rule that says yes. */
  yes: CompiledRule | undefined;
  /** A rule that cannot tell; only looked for where no rule says yes. */
  cannotTell: CompiledRule | undefined;
}

/** The index answers into this one object: a decision allocates nothing. Valid until the next call. */
const found: Found = { yes: undefined, cannotTell: undefined };

export function findRules(index: RuleIndex, access: Access): Readonly<Found> {
  found.yes = undefined;
  found.cannotTell = undefined;
  if (tryRules(index, index.anywhere, access)) return found;
  const { address, requestedName, names } = access.destination;
  if (requestedName !== undefined && tryName(index, requestedName, access)) return found;
  for (const name of names) {
    if (name !== requestedName && tryName(index, name, access)) return found;
  }
  if (index.byAddress[address.family].some(address, (rules) => tryRules(index, rules, access))) return found;
  // who gives no name could mean any; but no rule says yes for that
  if (requestedName !== undefined || access.doubt === undefined) return found;
  for (const rule of index.named) {
    if (found.cannotTell !== undefined) break;
    if (matchRule(rule, access, index.facts) === CANNOT_TELL) found.cannotTell = rule;
  }
  return found;
}

function tryName(index: RuleIndex, name: string, access: Access): boolean {
  const exact = index.byName.get(name);
  if (exact !== undefined && tryRules(index, exact, access)) return true;
  if (index.bySuffix.size === 0) return false;
  for (let start = 0; ;) {
    const rules = index.bySuffix.get(start === 0 ? name : name.slice(start));
    if (rules !== undefined && tryRules(index, rules, access)) return true;
    const dot = name.indexOf('.', start);
    if (dot < 0) break;
    start = dot + 1;
  }
  const bare = index.bySuffix.get('');
  return bare !== undefined && tryRules(index, bare, access);
}

/** Stops at the first rule that says yes. */
function tryRules(index: RuleIndex, rules: readonly CompiledRule[], access: Access): boolean {
  for (const rule of rules) {
    const match = matchRule(rule, access, index.facts);
    if (match === YES) {
      found.yes = rule;
      return true;
    }
    if (match === CANNOT_TELL) found.cannotTell = rule;
  }
  return false;
}

/** Whether `test` holds for a rule that names this host, with the pattern that does. */
export function namesHost(
  index: RuleIndex,
  name: string,
  test: (rule: CompiledRule, pattern: string) => boolean,
): boolean {
  const tryAll = (rules: readonly CompiledRule[] | undefined): boolean =>
    rules?.some(
      (rule) =>
        leavesIn(rule, name) && (rule.hosts?.some((host) => host.test(name) && test(rule, host.pattern)) ?? false),
    ) ?? false;
  if (tryAll(index.byName.get(name)) || tryAll(index.anyHost)) return true;
  for (let start = 0; ;) {
    if (tryAll(index.bySuffix.get(name.slice(start)))) return true;
    const dot = name.indexOf('.', start);
    if (dot < 0) break;
    start = dot + 1;
  }
  return tryAll(index.bySuffix.get(''));
}

function leavesIn(rule: CompiledRule, name: string): boolean {
  return !rule.exceptHosts.some((host) => host.test(name));
}

/** Whether any rule could let a connection to this place through, whatever is asked for on it. */
export function couldMatch(index: RuleIndex, transport: 'tcp' | 'udp', address: Address, port: number): boolean {
  const open = (rule: CompiledRule): boolean =>
    portMatches(rule, port) && (rule.class === 'any' || contains(transport, rule.class));
  return (
    index.anywhere.some(open) ||
    index.named.some(open) ||
    index.byAddress[address.family].some(address, (rules) => rules.some(open))
  );
}

/** A binary trie over prefixes: at most one step a bit. */
interface CidrTrie {
  insert(cidr: Cidr, rule: CompiledRule): void;
  /** Whether `test` holds for the rules of any prefix that contains the address. */
  some(address: Address, test: (rules: readonly CompiledRule[]) => boolean): boolean;
}

interface TrieNode {
  zero: TrieNode | undefined;
  one: TrieNode | undefined;
  rules: CompiledRule[] | undefined;
}

function createCidrTrie(width: number): CidrTrie {
  const newNode = (): TrieNode => ({ zero: undefined, one: undefined, rules: undefined });
  const root = newNode();
  const bitAt = ({ bits }: Address, index: number): number => ((bits[index >>> 5] ?? 0) >>> (31 - (index & 31))) & 1;
  return {
    insert(cidr, rule) {
      let node = root;
      for (let index = 0; index < cidr.prefix; index += 1) {
        if (bitAt(cidr.address, index) === 0) node = node.zero ??= newNode();
        else node = node.one ??= newNode();
      }
      node.rules ??= [];
      if (node.rules.at(-1) !== rule) node.rules.push(rule);
    },
    some(address, test) {
      let node: TrieNode | undefined = root;
      for (let index = 0; node !== undefined; index += 1) {
        if (node.rules !== undefined && test(node.rules)) return true;
        if (index === width) return false;
        node = bitAt(address, index) === 0 ? node.zero : node.one;
      }
      return false;
    },
  };
}
