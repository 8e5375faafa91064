/** `sallyport explain`: what the policies say of one access, rule by rule. Input: policy files and a target. Nothing is connected to. */
import type { Access } from '../model/access.ts';
import type { RuleRef, Verdict } from '../model/verdict.ts';
import { VIRTUAL_HOSTS } from '../model/virtual-hosts.ts';
import { printableLine, printableText } from '../platform/pure/printable.ts';
import { compileSnapshot } from '../policy/compile.ts';
import { decide } from '../policy/decide.ts';
import { lowerPolicy } from '../policy/lower.ts';
import { CANNOT_TELL, compileRule, matchRule, YES } from '../policy/rule.ts';
import { suggestRule } from '../policy/suggest.ts';
import { REASONS } from '../report/reasons.ts';
import { decisiveJudgement, outcomeOf } from '../report/record.ts';
import { parseTarget } from './explain-target.ts';
import type { TargetFlags } from './explain-target.ts';
import { isError, loadPolicyFiles } from './load-policies.ts';
import { formatJson } from './print.ts';
import { selectPolicies } from './select.ts';
import type { OutputFormat, Terminal } from './terminal.ts';
import { invalidPolicies } from './validate.ts';

export interface ExplainFlags extends TargetFlags {
  readonly policy: readonly string[];
  readonly labels?: Readonly<Record<string, string>>;
  readonly output: OutputFormat;
}

interface RuleAnswer {
  readonly ref: RuleRef;
  readonly effect: 'allow' | 'deny';
  readonly answer: 'yes' | 'no' | 'cannot tell';
  /** Whether the rule only notifies. */
  readonly notifies: boolean;
}

const DENIED = 1;

/** Settles with 0 where the access would go through, 1 where it would be denied. */
export async function explain(targetText: string, flags: ExplainFlags, terminal: Terminal): Promise<number> {
  const { access, notes } = parseTarget(targetText, flags);
  const files = await loadPolicyFiles(flags.policy, terminal);
  if (files.some((file) => file.problems.some(isError))) throw invalidPolicies(files);
  const { selected } = selectPolicies(
    files.flatMap((file) => file.policies),
    flags.labels ?? {},
  );
  const snapshot = compileSnapshot({ policies: selected, installDefault: 'Notify', virtualHosts: VIRTUAL_HOSTS });
  const verdict = decide(snapshot, access);
  // a look-up is allowed by rules of every class that may need the name: there is no one answer of a rule to show
  const asked = access.class === 'dns' ? [] : selected;
  const answers = asked.flatMap((policy) =>
    lowerPolicy(policy).rules.map((rule): RuleAnswer => {
      const match = matchRule(compileRule(rule), access, snapshot.facts);
      return {
        ref: rule.ref,
        effect: rule.effect,
        answer: match === YES ? 'yes' : match === CANNOT_TELL ? 'cannot tell' : 'no',
        notifies: !rule.enforced,
      };
    }),
  );
  const advice = adviceFor(access, verdict);
  terminal.stdout(
    flags.output === 'json'
      ? formatJson(toJson(access, verdict, answers, notes, advice))
      : toText(access, verdict, answers, notes, advice),
  );
  return verdict.permit === undefined ? DENIED : 0;
}

interface Advice {
  readonly text: string;
  readonly rule: string | undefined;
}

function adviceFor(access: Access, verdict: Verdict): Advice | undefined {
  const judgement = decisiveJudgement(verdict);
  if (judgement.effect === 'allow') return undefined;
  const { remedy, ruleHelps } = REASONS[judgement.reason];
  return { text: remedy, rule: ruleHelps ? suggestRule(access) : undefined };
}

function toJson(
  access: Access,
  verdict: Verdict,
  answers: readonly RuleAnswer[],
  notes: readonly string[],
  advice: Advice | undefined,
): object {
  const { destination } = access;
  const judgement = decisiveJudgement(verdict);
  return {
    verdict: outcomeOf(verdict),
    reason: judgement.reason,
    meaning: REASONS[judgement.reason].meaning,
    ...(judgement.by !== undefined && {
      policy: judgement.by.policy,
      policyKind: judgement.by.kind,
      rule: judgement.by.rule,
    }),
    shadow: verdict.shadow.effect === 'deny' ? 'denied' : 'allowed',
    access: { ...access, destination: { ...destination, address: destination.address.text } },
    rules: answers.map(({ ref, ...answer }) => ({
      policy: ref.policy,
      policyKind: ref.kind,
      rule: ref.rule,
      ...answer,
    })),
    notes,
    ...(advice !== undefined && {
      remedy: advice.text,
      ...(advice.rule !== undefined && { suggestedRule: advice.rule }),
    }),
  };
}

const EFFECTS = { allowed: 'allowed', denied: 'denied', notified: 'let through, but reported' } as const;

function toText(
  access: Access,
  verdict: Verdict,
  answers: readonly RuleAnswer[],
  notes: readonly string[],
  advice: Advice | undefined,
): string {
  const judgement = decisiveJudgement(verdict);
  const by = judgement.by === undefined ? '' : ` (${judgement.by.rule} of ${judgement.by.kind} ${judgement.by.policy})`;
  const parts = [
    `${EFFECTS[outcomeOf(verdict)]}: ${describe(access)}, because ${REASONS[judgement.reason].meaning}${by}.`,
  ];
  if (verdict.enforced.effect === 'deny' && verdict.shadow.effect === 'allow')
    parts.push('The policies on trial would allow it.');
  const rows = answers.map(
    ({ ref, effect, answer, notifies }) =>
      [`${ref.policy} ${ref.rule}`, notifies ? `${effect} (notify)` : effect, answer] as const,
  );
  const width = (column: 0 | 1): number => Math.max(...rows.map((row) => row[column].length));
  if (rows.length > 0) {
    const widths = [width(0), width(1)] as const;
    parts.push(
      '',
      ...rows.map(([name, effect, answer]) => `  ${name.padEnd(widths[0])}  ${effect.padEnd(widths[1])}  ${answer}`),
    );
  }
  if (advice !== undefined)
    parts.push(
      '',
      advice.text,
      ...(advice.rule === undefined ? [] : ['', `  ${advice.rule.replaceAll('\n', '\n  ')}`]),
    );
  if (notes.length > 0) parts.push('', ...notes.map((note) => `Note: ${note}.`));
  return `${printableText(parts.join('\n'))}\n`;
}

function describe(access: Access): string {
  const { destination, tags, operation } = access;
  if (access.class === 'dns') return `dns ${tags['dns.name'] ?? ''} (${tags['dns.type'] ?? ''})`;
  const name = destination.requestedName ?? destination.names[0] ?? destination.address.text;
  const host = name.includes(':') ? `[${name}]` : name;
  const port = destination.port === 0 ? '' : `:${destination.port}`;
  const what = [access.class, operation.name].filter((part) => part !== undefined).join(' ');
  return printableLine(`${what} ${host}${port}${tags['http.path'] ?? ''}`);
}
