/**
 * Policies → snapshot: the lowered rules of each scope, indexed once for each of the two views (what is enforced, and
 * what would be with the Notify policies). The version is a hash of what the snapshot means: order plays no part.
 */
import { createHash } from 'node:crypto';
import type { OnViolation, Policy } from '../api/policy.ts';
import type { Address, Cidr } from '../platform/pure/address.ts';
import { completeClusterName, type ClusterNames } from '../platform/pure/patterns.ts';
import { lowerPolicy, type LoweredPolicy, type LoweredRule, type Scope } from './lower.ts';
import { compileRule, type AddressFacts, type CompiledRule } from './rule.ts';
import { buildRuleIndex, type RuleIndex } from './rule-index.ts';

export interface CompileInput {
  /** All of them select the workload. */
  readonly policies: readonly Policy[];
  /** What happens to an access where no policy of the namespace denies by default. */
  readonly installDefault: OnViolation;
  /** Ranges that no name may answer with: nodes, the API server. */
  readonly protectedRanges?: readonly Cidr[];
  /** Where rules' short names of Services lead: `db`, `db.shop`, `db.shop.svc`. */
  readonly cluster?: ClusterNames;
  /** Names that the firewall answers itself. */
  readonly virtualHosts?: ReadonlyMap<string, readonly Address[]>;
}

export interface Snapshot {
  /** SHA-256 of the content, hex. */
  readonly version: string;
  readonly enforced: View;
  /** The same object as `enforced` where no policy is on trial. */
  readonly shadow: View;
  readonly facts: AddressFacts;
}

export interface View {
  readonly deny: RuleIndex;
  /** What the cluster scope allows; `undefined` where it does not deny by default. */
  readonly ceiling: RuleIndex | undefined;
  /** What the namespace scope allows; `undefined` where it does not deny by default. */
  readonly namespace: RuleIndex | undefined;
  /** No policy denies by default: the install does. */
  readonly byInstallDefault: boolean;
}

export function compileSnapshot(input: CompileInput): Snapshot {
  const facts: AddressFacts = {
    protectedRanges: input.protectedRanges ?? [],
    virtualHosts: input.virtualHosts ?? new Map<string, readonly Address[]>(),
  };
  const policies = input.policies.map((policy) => completeHosts(lowerPolicy(policy), input.cluster));
  const compiled = new Map(policies.map((policy) => [policy, policy.rules.map(compileRule)]));
  const enforced = buildView(policies, compiled, 'enforced', input.installDefault, facts);
  const onTrial = policies.some((policy) => !policy.enforced || policy.rules.some((rule) => !rule.enforced));
  const shadow = onTrial ? buildView(policies, compiled, 'shadow', input.installDefault, facts) : enforced;
  return { version: versionOf(policies, input), enforced, shadow, facts };
}

function buildView(
  policies: readonly LoweredPolicy[],
  compiled: ReadonlyMap<LoweredPolicy, readonly CompiledRule[]>,
  view: 'enforced' | 'shadow',
  installDefault: OnViolation,
  facts: AddressFacts,
): View {
  const replaced = new Set(
    view === 'shadow'
      ? policies.flatMap((policy) =>
          policy.enforced || policy.replaces === undefined ? [] : [key(policy.scope, policy.replaces)],
        )
      : [],
  );
  const counting = policies.filter((policy) =>
    view === 'enforced' ? policy.enforced : !replaced.has(key(policy.scope, policy.name)),
  );
  const rulesOf = (policy: LoweredPolicy): readonly CompiledRule[] => compiled.get(policy) ?? [];
  const allows = (chosen: readonly LoweredPolicy[]): RuleIndex =>
    buildRuleIndex(
      chosen.flatMap(rulesOf).filter((rule) => rule.source.effect === 'allow'),
      facts,
    );

  const cluster = counting.filter((policy) => policy.scope === 'cluster');
  const namespace = counting.filter((policy) => policy.scope === 'namespace');
  // a deny rule may be enforced in a policy that is not, and the other way round
  const denyRules = policies
    .filter((policy) => !replaced.has(key(policy.scope, policy.name)))
    .flatMap(rulesOf)
    .filter((rule) => rule.source.effect === 'deny' && (view === 'shadow' || rule.source.enforced));
  const namespaceDenies = namespace.some((policy) => policy.deniesByDefault);
  const byInstallDefault = !namespaceDenies && installDefault === 'Block';
  const grants = cluster.filter((policy) => !policy.deniesByDefault);
  return {
    deny: buildRuleIndex(denyRules, facts),
    ceiling: cluster.some((policy) => policy.deniesByDefault) ? allows(cluster) : undefined,
    namespace: namespaceDenies || byInstallDefault ? allows([...namespace, ...grants]) : undefined,
    byInstallDefault,
  };
}

/** With each short name the full one that the cluster's resolver makes of it. */
function completeHosts(policy: LoweredPolicy, cluster: ClusterNames | undefined): LoweredPolicy {
  if (cluster === undefined) return policy;
  const complete = (hosts: readonly string[]): string[] =>
    hosts.flatMap((host) => {
      const full = completeClusterName(host, cluster);
      return full === undefined ? [host] : [host, full];
    });
  const rules = policy.rules.map((rule) => ({
    ...rule,
    hosts: rule.hosts === undefined ? undefined : complete(rule.hosts),
    exceptHosts: complete(rule.exceptHosts),
    tags: rule.tags.map((test) => (test.glob === 'host' ? { ...test, values: complete(test.values) } : test)),
  }));
  return { ...policy, rules };
}

function key(scope: Scope, name: string): string {
  return `${scope} ${name}`;
}

function versionOf(policies: readonly LoweredPolicy[], input: CompileInput): string {
  const content = policies
    .map((policy) => stable({ ...policy, rules: policy.rules.map(withoutPosition).map(stable).sort() }))
    .sort();
  const ranges = (input.protectedRanges ?? []).map((cidr) => cidr.text).sort();
  const virtual = [...(input.virtualHosts ?? [])].map(([name, addresses]) => [
    name,
    ...addresses.map((address) => address.text),
  ]);
  return createHash('sha256')
    .update(stable([content, input.installDefault, ranges, virtual]))
    .digest('hex');
}

/** The position of an unnamed rule is a name for people, not meaning. */
function withoutPosition(rule: LoweredRule): LoweredRule {
  return rule.ref.rule.endsWith(']') ? { ...rule, ref: { ...rule.ref, rule: '' } } : rule;
}

/** JSON with sorted keys; `undefined` fields left out. */
function stable(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) =>
    typeof inner === 'object' && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );
}
