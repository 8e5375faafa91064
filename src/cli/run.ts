/**
 * `sallyport run`: checks everything that can be checked before anything starts, and hands it to the box. Input: options as
 * text. Output: the exit status of the command. What is wrong throws with a code of its own, and no command is started.
 */
import { resolve } from 'node:path';

import type { RunOptions } from '../api/run-options.ts';
import type { OnViolation, Policy } from '../api/policy.ts';
import { findExecutable } from '../platform/io/files.ts';
import type { Endpoint, ListenAddress } from '../platform/pure/endpoint.ts';
import { SallyportError } from '../platform/pure/errors.ts';
import type { OutputFormat, Terminal } from './terminal.ts';

export interface RunFlags {
  readonly policy?: readonly string[];
  readonly onViolation?: OnViolation;
  readonly log?: string;
  readonly logAllowed: number;
  readonly metrics?: ListenAddress;
  readonly resolver?: readonly Endpoint[];
  readonly labels?: Readonly<Record<string, string>>;
  readonly allowSocket?: readonly string[];
  readonly summary: 'auto' | 'always' | 'never';
  readonly output: OutputFormat;
}

export async function run(command: readonly string[], flags: RunFlags, terminal: Terminal): Promise<number> {
  const [name, ...rest] = command;
  const paths = flags.policy ?? [];
  const labels = flags.labels ?? {};
  if (name === undefined)
    throw usage('no command is given', 'Write it after --: sallyport run --policy FILE -- COMMAND [ARGS...]');
  if (paths.length === 0 && flags.onViolation === undefined) {
    throw usage(
      'neither a policy nor --on-violation is given',
      'Give --policy FILE; or --on-violation Notify to let everything through and see what the command reaches; or --on-violation Block to let nothing through.',
    );
  }
  const executable = await findExecutable(name, terminal.env['PATH'], terminal.cwd);
  const options: RunOptions = {
    policies: paths.length === 0 ? [] : await policiesFor(paths, labels, flags, terminal),
    onViolation: flags.onViolation,
    // with a policy, what none names is decided by their `default`; --on-violation alone stands for a policy
    installDefault: paths.length === 0 ? (flags.onViolation ?? 'Block') : 'Notify',
    log: flags.log,
    logAllowedRate: flags.logAllowed,
    metrics: flags.metrics,
    resolvers: flags.resolver ?? [],
    labels,
    allowSockets: (flags.allowSocket ?? []).map((path) => resolve(terminal.cwd, path)),
    summary: flags.summary,
    output: flags.output,
    executable,
    command: [name, ...rest],
    env: terminal.env,
    cwd: terminal.cwd,
    isTty: terminal.stderrIsTty,
  };
  return terminal.run(options);
}

/** All policies of all files, as `--on-violation` has them. Throws where one is invalid, or selects other labels. */
async function policiesFor(
  paths: readonly string[],
  labels: Readonly<Record<string, string>>,
  flags: RunFlags,
  terminal: Terminal,
): Promise<readonly Policy[]> {
  if (paths.includes('-')) {
    throw usage(
      'standard input belongs to the command, so --policy - cannot read it',
      'Write the policy to a file, or use <(...) of your shell.',
    );
  }
  // the YAML reader and the schemas cost more than all else here
  const [{ loadPolicyFiles, isError, policyName }, { invalidPolicies }, { selectPolicies }] = await Promise.all([
    import('./load-policies.ts'),
    import('./validate.ts'),
    import('./select.ts'),
  ]);
  const files = await loadPolicyFiles(paths, terminal);
  if (files.some((file) => file.problems.some(isError))) throw invalidPolicies(files);
  // the command's own output is what people want to see, each time
  const warnings = files.reduce((sum, file) => sum + file.problems.length, 0);
  if (flags.output === 'text' && terminal.stderrIsTty && warnings > 0) {
    terminal.stderr(`sallyport: the policy has warnings: ${warnings}; \`sallyport validate\` lists them\n`);
  }
  const { selected, passedOver } = selectPolicies(
    files.flatMap((file) => file.policies),
    labels,
  );
  if (flags.output === 'text') {
    for (const policy of passedOver)
      terminal.stderr(`sallyport: note: ${policy.kind} ${policyName(policy)} does not select these labels\n`);
  }
  const { onViolation } = flags;
  return onViolation === undefined ? selected : applyOnViolation(selected, onViolation);
}

/** For whole policies: what their deny rules say of their own gives way too. */
function applyOnViolation(policies: readonly Policy[], onViolation: OnViolation): readonly Policy[] {
  const changed = policies.map((policy) => {
    const deny = policy.spec.deny.map(({ onViolation: _own, ...rule }) => rule);
    return { ...policy, spec: { ...policy.spec, onViolation, deny } };
  });
  if (onViolation === 'Notify') return changed;
  // enforced, a policy on trial takes the place of the one that it would replace
  const replaced = changed.flatMap(({ kind, spec }) =>
    spec.replaces === undefined ? [] : [`${kind} ${spec.replaces}`],
  );
  return changed
    .filter(({ kind, metadata: { name, namespace } }) => {
      const names = namespace === undefined ? [name] : [name, `${namespace}/${name}`];
      return !names.some((known) => replaced.includes(`${kind} ${known}`));
    })
    .map(({ spec: { replaces: _done, ...spec }, ...policy }) => ({ ...policy, spec }));
}

function usage(message: string, remedy: string): SallyportError {
  return new SallyportError('usage', message, remedy);
}
