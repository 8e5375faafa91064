/** What `decide` answers, as data. */
import type { Doubt } from './access.ts';

export type Effect = 'allow' | 'deny';

/** Why a verdict is what it is. Stable codes: they stand in records, metrics, denials and docs/reasons.md. */
export type Reason =
  | 'rule' // an allow rule of every scope that denies by default
  | 'default' // no scope denies by default
  | 'deny-rule' // a deny rule said yes
  | 'deny-rule-cannot-tell' // a deny rule could mean it
  | 'ceiling' // no ClusterSecurityPolicy allows it
  | 'no-rule' // no rule of the namespace scope (or a grant) allows it
  | 'install-default' // no policy selects, and the install blocks
  | 'address' // a rule allows the name, but not with the address it answered with
  | Doubt // no rule allows it for want of knowing what it is
  | 'name-unresolved' // the requested name is allowed, but does not resolve to an address that may be dialled
  | 'misdirected' // an authority that is not the connection's name
  | 'not-carried' // a protocol that the interception drops in the kernel
  | 'limit'; // a bound of the firewall's own memory

/** Where a rule stands: `policy` is `name` or `namespace/name`, `rule` its name or `allow[3]`. */
export interface RuleRef {
  readonly kind: 'SecurityPolicy' | 'ClusterSecurityPolicy';
  readonly policy: string;
  readonly rule: string;
}

declare const permitBrand: unique symbol;
/** Proof that `decide` let an access through. Whatever sends application data on asks for one; only policy/decide.ts makes it. */
export interface Permit {
  readonly [permitBrand]: true;
}

export interface Judgement {
  readonly effect: Effect;
  readonly reason: Reason;
  /** The rule that decided, if one did. */
  readonly by: RuleRef | undefined;
}

/** `enforced` is what happens; `shadow` what would, were the Notify policies enforced too. A violation: either of them denies. */
export type Verdict =
  | { readonly enforced: Judgement & { readonly effect: 'allow' }; readonly shadow: Judgement; readonly permit: Permit }
  | {
      readonly enforced: Judgement & { readonly effect: 'deny' };
      readonly shadow: Judgement;
      readonly permit: undefined;
    };
