/** What each reason means and what a person does about it: the one source of records, `why`, the summary and docs/reasons.md. */
import type { Access } from '../model/access.ts';
import type { Judgement, Reason } from '../model/verdict.ts';

export interface ReasonText {
  /** A sentence without its subject: "<access> was denied because …". */
  readonly meaning: string;
  readonly remedy: string;
  /** Whether a further allow rule changes the verdict: then the rule is spelled out after the remedy. */
  readonly ruleHelps: boolean;
}

const NONE_NEEDED = 'Nothing is to be done.';

export const REASONS: Readonly<Record<Reason, ReasonText>> = {
  rule: { meaning: 'an allow rule names it', remedy: NONE_NEEDED, ruleHelps: false },
  default: {
    meaning: 'no policy that denies by default applies, and no deny rule names it',
    remedy: 'To restrict it, write a policy with `default: Deny`, or a deny rule.',
    ruleHelps: false,
  },
  'deny-rule': {
    meaning: 'a deny rule names it',
    remedy: 'A deny rule beats every allow rule: narrow or remove that rule if the access is wanted.',
    ruleHelps: false,
  },
  'deny-rule-cannot-tell': {
    meaning: 'what it does cannot be told, and a deny rule for this destination could mean it',
    remedy: 'Limit the deny rule to other hosts, addresses or ports, or remove it, if the access is wanted.',
    ruleHelps: false,
  },
  ceiling: {
    meaning: 'a ClusterSecurityPolicy denies by default and no rule of a ClusterSecurityPolicy allows it',
    remedy: 'No SecurityPolicy can allow it: add the rule to a ClusterSecurityPolicy.',
    ruleHelps: true,
  },
  'no-rule': {
    meaning: 'no rule allows it',
    remedy: 'Add the rule to the `allow` list of a policy if the access is wanted.',
    ruleHelps: true,
  },
  'install-default': {
    meaning: 'no policy applies, and what no policy names is blocked',
    remedy: 'Write a policy that allows it.',
    ruleHelps: true,
  },
  address: {
    meaning: 'a rule allows the name, but not at the address that the name answered with',
    remedy:
      'Add that address to the `cidrs` of the rule, if the name is meant to have it. Loopback, link-local and metadata addresses always need `cidrs`; private ones need it where the host has a wildcard.',
    ruleHelps: true,
  },
  unidentified: {
    meaning: 'no byte was seen that tells what it is, and no rule allows the destination whatever it is',
    remedy: 'Add a `tcp` or `udp` rule for this address or name.',
    ruleHelps: true,
  },
  'not-inspected': {
    meaning: 'it is encrypted, so only its server name is known, and no rule allows it by that alone',
    remedy: 'Add a `tls` rule for this host: a rule of class `http` needs a look inside.',
    ruleHelps: true,
  },
  'detection-timeout': {
    meaning:
      'the application sent nothing in time to tell what it speaks, and no rule allows the destination whatever it is',
    remedy: 'If the server speaks first, or the client waits, add a `tcp` rule for this address or name.',
    ruleHelps: true,
  },
  malformed: {
    meaning:
      'it began as a known protocol and then broke its rules, so that two readers could understand it differently',
    remedy: 'Mend the client; or, if the destination is trusted with anything, add a `tcp` rule for it.',
    ruleHelps: true,
  },
  'too-large': {
    meaning: 'what must be looked at is larger than what is looked at',
    remedy: 'Send a smaller request head; or, if the destination is trusted with anything, add a `tcp` rule for it.',
    ruleHelps: true,
  },
  tunnel: {
    meaning:
      'it asks for a tunnel, or for an upgrade to a protocol that is not judged, so that what follows cannot be told',
    remedy: 'If the destination is trusted with anything, add a `tcp` rule for it.',
    ruleHelps: true,
  },
  http2: {
    meaning: 'it is HTTP/2 in cleartext, which this version does not take apart',
    remedy: 'Use HTTP/1.1; or, if the destination is trusted with anything, add a `tcp` rule for it.',
    ruleHelps: true,
  },
  'ambiguous-name': {
    meaning: 'it names two hosts where one must stand',
    remedy: 'Mend the client: it must send one server name, and one Host header that agrees with its URL.',
    ruleHelps: false,
  },
  'name-unresolved': {
    meaning: 'a rule allows the name, but the name does not resolve to an address that may be dialled',
    remedy: 'Check that the name resolves with the resolver that Sallyport uses (`--resolver`), and to what.',
    ruleHelps: false,
  },
  misdirected: {
    meaning: 'a request names another host than its connection was opened to',
    remedy: 'Let the client open a connection of its own to each host; most do so again when they are answered 421.',
    ruleHelps: false,
  },
  'not-carried': {
    meaning: 'it is of a protocol that is stopped in the kernel and never sent on',
    remedy: 'Use TCP or UDP.',
    ruleHelps: false,
  },
  limit: {
    meaning: 'a bound of the memory of the firewall was reached',
    remedy: 'Look for a client that opens connections or looks up names without end; then try again.',
    ruleHelps: false,
  },
};

/** What to do about a denial, with the rule to add where one helps. `suggest` is `suggestRule` of the policy layer. */
export function remedyFor(
  access: Access,
  judgement: Judgement,
  suggest: (access: Access) => string | undefined,
): string {
  const text = REASONS[judgement.reason];
  if (judgement.effect === 'allow') return NONE_NEEDED;
  const rule = text.ruleHelps ? suggest(access) : undefined;
  return rule === undefined ? text.remedy : `${text.remedy}\n${rule.trimEnd()}`;
}
