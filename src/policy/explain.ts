/**
 * Why an access would be allowed or denied: every scope with every rule's answer, found by asking each rule in turn.
 * Slow and plain on purpose: the tests hold the indexed `decide` against it.
 */
import type { Access } from '../model/access.ts';
import type { Effect, Reason, RuleRef, Verdict } from '../model/verdict.ts';
import type { Snapshot, View } from './compile.ts';
import { decide } from './decide.ts';
import { CANNOT_TELL, matchRule, YES, type CompiledRule } from './rule.ts';
import { suggestRule } from './suggest.ts';

export type RuleAnswer = 'yes' | 'no' | 'cannot tell';

export interface ExplainedRule {
  readonly rule: RuleRef;
  readonly effect: Effect;
  readonly answer: RuleAnswer;
}

export interface ExplainedScope {
  readonly name: 'deny rules' | 'cluster scope' | 'namespace scope';
  /** What the scope says by itself; `undefined` where it leaves the decision to others. */
  readonly effect: Effect | undefined;
  readonly reason: Reason | undefined;
  readonly rules: readonly ExplainedRule[];
}

export interface Explanation {
  readonly verdict: Verdict;
  readonly enforced: readonly ExplainedScope[];
  /** Only where a policy is on trial. */
  readonly shadow: readonly ExplainedScope[] | undefined;
  /** The rule that would allow it; `undefined` where it is allowed, or a deny rule stands in the way. */
  readonly suggestion: string | undefined;
}

export function explainAccess(snapshot: Snapshot, access: Access): Explanation {
  const verdict = decide(snapshot, access);
  const { effect, by } = verdict.enforced;
  return {
    verdict,
    enforced: explainView(snapshot.enforced, access),
    shadow: snapshot.shadow === snapshot.enforced ? undefined : explainView(snapshot.shadow, access),
    suggestion: effect === 'deny' && by === undefined ? suggestRule(access) : undefined,
  };
}

function explainView(view: View, access: Access): ExplainedScope[] {
  const scopes: ExplainedScope[] = [];
  const ask = (rule: CompiledRule): ExplainedRule => {
    const match = matchRule(rule, access, view.deny.facts);
    return {
      rule: rule.source.ref,
      effect: rule.source.effect,
      answer: match === YES ? 'yes' : match === CANNOT_TELL ? 'cannot tell' : 'no',
    };
  };
  const denying = view.deny.rules.map(ask);
  const denied = denying.some(({ answer }) => answer === 'yes');
  const doubted = denying.some(({ answer }) => answer === 'cannot tell');
  scopes.push({
    name: 'deny rules',
    effect: denied || doubted ? 'deny' : undefined,
    reason: denied ? 'deny-rule' : doubted ? 'deny-rule-cannot-tell' : undefined,
    rules: denying,
  });
  for (const [name, index, reason] of [
    ['cluster scope', view.ceiling, 'ceiling'],
    ['namespace scope', view.namespace, view.byInstallDefault ? 'install-default' : 'no-rule'],
  ] as const) {
    const rules = index?.rules.map(ask) ?? [];
    const allowed = index === undefined || rules.some(({ answer }) => answer === 'yes');
    scopes.push({
      name,
      effect: index === undefined ? undefined : allowed ? 'allow' : 'deny',
      reason: allowed ? undefined : reason,
      rules,
    });
  }
  return scopes;
}

/** The effect of a view as its scopes have it, for tests of `decide`. Not for queries, which rules for hosts also allow. */
export function effectOf(scopes: readonly ExplainedScope[]): Effect {
  return scopes.some(({ effect }) => effect === 'deny') ? 'deny' : 'allow';
}
