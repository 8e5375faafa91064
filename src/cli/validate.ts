/** `sallyport validate`: every problem of every file, and whether the policies may be used. */
import { EXIT_STATUS, SallyportError } from '../platform/pure/errors.ts';
import { printableLine } from '../platform/pure/printable.ts';
import type { Problem } from '../platform/pure/problem.ts';
import { isError, loadPolicyFiles, policyName } from './load-policies.ts';
import type { LoadedFile } from './load-policies.ts';
import { formatJson, formatProblem } from './print.ts';
import type { OutputFormat, Terminal } from './terminal.ts';

export async function validate(paths: readonly string[], output: OutputFormat, terminal: Terminal): Promise<number> {
  const files = await loadPolicyFiles(paths, terminal);
  terminal.stdout(output === 'json' ? formatJson(toJson(files)) : files.map(toText).join(''));
  return files.some((file) => file.problems.some(isError)) ? EXIT_STATUS['policy-invalid'] : 0;
}

/** The problems as one failure, for commands that need all their policies. */
export function invalidPolicies(files: readonly LoadedFile[]): SallyportError {
  const errors = files.flatMap((file) =>
    file.problems.filter(isError).map((problem) => formatProblem(problem, file.name)),
  );
  return new SallyportError('policy-invalid', `the policy cannot be used\n${errors.join('').trimEnd()}`, '');
}

function toText(file: LoadedFile): string {
  const problems = file.problems.map((problem) => formatProblem(problem, file.name)).join('');
  const valid = file.problems.some(isError)
    ? ''
    : file.policies
        .map((policy) => printableLine(`${file.name}: ${policy.kind} ${policyName(policy)}: valid`) + '\n')
        .join('');
  return problems + valid;
}

function toJson(files: readonly LoadedFile[]): object {
  return {
    valid: !files.some((file) => file.problems.some(isError)),
    files: files.map((file) => ({
      file: file.name,
      valid: !file.problems.some(isError),
      policies: file.policies.map((policy) => ({ kind: policy.kind, name: policyName(policy) })),
      problems: file.problems.map((problem) => problemToJson(problem, file.name)),
    })),
  };
}

function problemToJson(problem: Problem, fileName: string): object {
  return {
    source: problem.source ?? fileName,
    severity: problem.severity,
    path: problem.path,
    message: problem.message,
    remedy: problem.remedy,
  };
}
