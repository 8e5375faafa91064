/** How problems and failures are shown: where, what, and what to do. Text that came from files is printed escaped. */
import { EXIT_STATUS, type SallyportError } from '../platform/pure/errors.ts';
import { printableLine, printableText } from '../platform/pure/printable.ts';
import type { Problem } from '../platform/pure/problem.ts';

/** `policy.yaml:12:5: error: spec.allow[0].http.host: message` and the remedy beneath. */
export function formatProblem(problem: Problem, fileName: string): string {
  const where = problem.source ?? fileName;
  const path = problem.path === '' ? '' : `${problem.path}: `;
  const remedy = problem.remedy === '' ? '' : `  ${printableText(problem.remedy).replaceAll('\n', '\n  ')}\n`;
  return `${printableLine(`${where}: ${problem.severity}: ${path}${problem.message}`)}\n${remedy}`;
}

export function formatFailure(error: SallyportError): string {
  return `sallyport: ${printableText(error.message)}\n${error.remedy === '' ? '' : `  ${printableText(error.remedy).replaceAll('\n', '\n  ')}\n`}`;
}

export function failureToJson(error: SallyportError): object {
  return {
    error: { code: error.code, exitStatus: EXIT_STATUS[error.code], message: error.message, remedy: error.remedy },
  };
}

/** Over several lines, safe to print. */
export function formatJson(value: unknown): string {
  return `${printableText(JSON.stringify(value, undefined, 2))}\n`;
}
