/**
 * The verdict on one access (DESIGN §3). Any deny rule that matches denies; else each scope that denies by default must
 * allow. Decided twice: with the policies that are enforced, and with those on trial. The only place that makes a permit.
 */
import { NO_OPERATION, type Access, type Destination } from '../model/access.ts';
import { contains } from '../model/classes.ts';
import type { Judgement, Permit, Reason, Verdict } from '../model/verdict.ts';
import { ipv4FromBits, type Address } from '../platform/pure/address.ts';
import type { Snapshot, View } from './compile.ts';
import { findRules, namesHost, type RuleIndex } from './rule-index.ts';
import { mayAnswerWith, type CompiledRule } from './rule.ts';
import { isIn } from './match/address-class.ts';

// the one permit there is: that it can only be had from here is what makes it one
const PERMIT = Object.freeze({}) as Permit;

const BY_DEFAULT: Judgement = { effect: 'allow', reason: 'default', by: undefined };

export function decide(snapshot: Snapshot, access: Access): Verdict {
  const judge = access.class === 'dns' ? judgeQuery : judgeView;
  const enforced = judge(snapshot.enforced, access);
  const shadow = snapshot.shadow === snapshot.enforced ? enforced : judge(snapshot.shadow, access);
  return verdictOf(enforced, shadow);
}

/** Whether a name may be asked for, whoever is asked. `type`: A, AAAA … as text. */
export function decideName(snapshot: Snapshot, name: string, type: string): Verdict {
  return decide(snapshot, queryFor(name, type, { address: NOWHERE, port: 0, requestedName: undefined, names: [] }));
}

const NOWHERE: Address = ipv4FromBits(0);

function queryFor(name: string, type: string, destination: Destination): Access {
  return {
    class: 'dns',
    tags: { 'dns.name': name, 'dns.type': type },
    operation: NO_OPERATION,
    destination,
    doubt: undefined,
  };
}

function judgeView(view: View, access: Access): Judgement {
  if (view.deny.rules.length > 0) {
    const denied = findRules(view.deny, access);
    if (denied.yes !== undefined) return denied.yes.yes;
    if (denied.cannotTell !== undefined) return denied.cannotTell.cannotTell;
  }
  let allowed = BY_DEFAULT;
  if (view.ceiling !== undefined) {
    const { yes } = findRules(view.ceiling, access);
    if (yes === undefined) return refusal(view.ceiling, access, 'ceiling');
    allowed = yes.yes;
  }
  if (view.namespace !== undefined) {
    const { yes } = findRules(view.namespace, access);
    if (yes === undefined)
      return refusal(view.namespace, access, view.byInstallDefault ? 'install-default' : 'no-rule');
    allowed = yes.yes;
  }
  return allowed;
}

/** Why no rule allows it: what it is cannot be told, the name is allowed at another address, or none names it. */
function refusal(index: RuleIndex, access: Access, reason: Reason): Judgement {
  const found = findRules(index, access);
  if (access.doubt !== undefined && found.cannotTell !== undefined) return denialFor(access.doubt);
  return denialFor(allowsAtAnotherAddress(index, access) ? 'address' : reason);
}

function allowsAtAnotherAddress(index: RuleIndex, access: Access): boolean {
  return findRules({ ...index, facts: { ...index.facts, anyAddress: true } }, access).yes !== undefined;
}

// ── names ────────────────────────────────────────────────────────────────────────────────────────────────────────

/** What a client asks for to reach a host by its name. */
const HOST_TYPES: ReadonlySet<string> = new Set(['A', 'AAAA', 'CNAME', 'SRV', 'HTTPS', 'SVCB']);

/**
 * A query may be asked where a rule of its own class says so, and where it only serves to reach a host that a rule names:
 * the name itself carries data out, so nothing else is asked for.
 */
function judgeQuery(view: View, access: Access): Judgement {
  const name = access.tags['dns.name'] ?? '';
  const serves = HOST_TYPES.has(access.tags['dns.type'] ?? '');
  if (view.deny.rules.length > 0) {
    const denied = findRules(view.deny, access);
    if (denied.yes !== undefined) return denied.yes.yes;
    if (denied.cannotTell !== undefined) return denied.cannotTell.cannotTell;
    let whole: CompiledRule | undefined;
    namesHost(view.deny, name, (rule) => {
      if (deniesWholeHost(rule)) whole = rule;
      return whole !== undefined;
    });
    if (whole !== undefined) return whole.yes;
  }
  let allowed = BY_DEFAULT;
  for (const [index, reason] of scopesOf(view)) {
    const judgement = queryAllowed(index, access, name, serves);
    if (judgement === undefined) return denialFor(access.doubt ?? reason);
    allowed = judgement;
  }
  return allowed;
}

function queryAllowed(index: RuleIndex, access: Access, name: string, serves: boolean): Judgement | undefined {
  const { yes } = findRules(index, access);
  if (yes !== undefined) return yes.yes;
  if (!serves) return undefined;
  let naming: CompiledRule | undefined;
  namesHost(index, name, (rule) => {
    naming = rule;
    return true;
  });
  return naming?.yes;
}

/**
 * Whether nothing of that host is meant to be reached: then its name need not be known. A rule for any host is no reason
 * to close DNS, nor is one for datagrams alone.
 */
function deniesWholeHost(rule: CompiledRule): boolean {
  const limited =
    rule.ports !== undefined ||
    rule.cidrs !== undefined ||
    rule.exceptCidrs.length > 0 ||
    rule.operationTypes !== undefined ||
    rule.tags.length > 0;
  const connects = rule.class === 'any' || (rule.class !== 'websocket' && contains('tcp', rule.class));
  return connects && !limited && !(rule.hosts?.some((host) => host.pattern === '*') ?? true);
}

function scopesOf(view: View): readonly (readonly [RuleIndex, Reason])[] {
  const scopes: (readonly [RuleIndex, Reason])[] = [];
  if (view.ceiling !== undefined) scopes.push([view.ceiling, 'ceiling']);
  if (view.namespace !== undefined)
    scopes.push([view.namespace, view.byInstallDefault ? 'install-default' : 'no-rule']);
  return scopes;
}

/** Whether the policy in force lets this name stand for this address: an answer that says otherwise is a rebinding. */
export function mayAnswer(snapshot: Snapshot, name: string, address: Address): boolean {
  const query = queryFor(name, address.family === 4 ? 'A' : 'AAAA', {
    address: NOWHERE,
    port: 0,
    requestedName: undefined,
    names: [],
  });
  return scopesOf(snapshot.enforced).every(([index]) => {
    // a rule for the query itself promises an answer, and no connection
    if (findRules(index, query).yes !== undefined) return true;
    return namesHost(index, name, (rule, pattern) => {
      if (isIn(address, rule.exceptCidrs)) return false;
      if (rule.cidrs !== undefined) return isIn(address, rule.cidrs);
      return mayAnswerWith(pattern, !pattern.includes('*'), address, index.facts);
    });
  });
}

// ── verdicts ─────────────────────────────────────────────────────────────────────────────────────────────────────

const denials = new Map<Reason, Judgement>();

function denialFor(reason: Reason): Judgement {
  let judgement = denials.get(reason);
  if (judgement === undefined) denials.set(reason, (judgement = { effect: 'deny', reason, by: undefined }));
  return judgement;
}

const verdicts = new WeakMap<Judgement, WeakMap<Judgement, Verdict>>();

/** The verdict of two judgements is made once: deciding allocates nothing, and whoever counts verdicts can go by identity. */
function verdictOf(enforced: Judgement, shadow: Judgement): Verdict {
  let byShadow = verdicts.get(enforced);
  if (byShadow === undefined) verdicts.set(enforced, (byShadow = new WeakMap()));
  let verdict = byShadow.get(shadow);
  if (verdict === undefined) byShadow.set(shadow, (verdict = makeVerdict(enforced, shadow)));
  return verdict;
}

function makeVerdict(enforced: Judgement, shadow: Judgement): Verdict {
  if (enforced.effect === 'allow') return { enforced: { ...enforced, effect: 'allow' }, shadow, permit: PERMIT };
  return { enforced: { ...enforced, effect: 'deny' }, shadow, permit: undefined };
}
