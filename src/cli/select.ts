/**
 * Which of the policies select the command: `podSelector` against `--labels`. A policy that was named and would play no
 * part is a mistake unless labels were given to choose with; without any that selects, nothing may start.
 */
import type { Policy } from '../api/policy.ts';
import { SallyportError } from '../platform/pure/errors.ts';
import { policyName } from './load-policies.ts';

export interface Selection {
  readonly selected: readonly Policy[];
  readonly passedOver: readonly Policy[];
}

type Labels = Readonly<Record<string, string>>;

/** Throws `usage` where the labels leave out what must not be left out silently. */
export function selectPolicies(policies: readonly Policy[], labels: Labels): Selection {
  const selected = policies.filter((policy) => selects(policy, labels));
  const passedOver = policies.filter((policy) => !selected.includes(policy));
  const [first] = passedOver;
  if (first === undefined || (selected.length > 0 && Object.keys(labels).length > 0)) return { selected, passedOver };
  throw new SallyportError(
    'usage',
    `the podSelector of ${first.kind} ${policyName(first)} does not select the command`,
    `Give the labels that it selects, as in --labels ${exampleLabels(first)}; or write podSelector: {} to select all.`,
  );
}

/** As Kubernetes has it: all of matchLabels and all of matchExpressions; an empty selector selects all. */
function selects(policy: Policy, labels: Labels): boolean {
  const { matchLabels = {}, matchExpressions = [] } = policy.spec.podSelector;
  return (
    Object.entries(matchLabels).every(([key, value]) => valueOf(labels, key) === value) &&
    matchExpressions.every(({ key, operator, values = [] }) => {
      const value = valueOf(labels, key);
      switch (operator) {
        case 'In':
          return value !== undefined && values.includes(value);
        case 'NotIn':
          return value === undefined || !values.includes(value);
        case 'Exists':
          return value !== undefined;
        case 'DoesNotExist':
          return value === undefined;
      }
    })
  );
}

function valueOf(labels: Labels, key: string): string | undefined {
  return Object.hasOwn(labels, key) ? labels[key] : undefined;
}

function exampleLabels(policy: Policy): string {
  const pairs = Object.entries(policy.spec.podSelector.matchLabels ?? {}).map(([key, value]) => `${key}=${value}`);
  return pairs.length > 0 ? pairs.join(',') : 'app=NAME';
}
