/**
 * Vitest reporter. Output: each skipped test with its reason, and last one line "N passed, N failed, N skipped" that
 * scripts can read. With `skipsFail` (CI) a skip makes the run fail, unless its reason begins with "this kernel": a
 * program or a right can be given to a machine, so that its absence must not turn tests off unnoticed; a kernel cannot.
 */
import type { Reporter, SerializedError, TestCase, TestModule } from 'vitest/node';

/** What the reporter needs to know of one test. */
export interface Outcome {
  readonly name: string;
  readonly state: 'passed' | 'failed' | 'skipped' | 'pending';
  /** Why it was skipped: what the test said by `context.skip(reason)`. */
  readonly reason: string | undefined;
}

export interface Closing {
  readonly lines: readonly string[];
  readonly failed: boolean;
}

/** `broken`: errors that belong to no test, such as a file that cannot be loaded. They count as failures. */
export function close(outcomes: readonly Outcome[], broken: number, skipsFail: boolean): Closing {
  // a test that never ended did not pass
  const failed = outcomes.filter(({ state }) => state === 'failed' || state === 'pending').length + broken;
  const skipped = outcomes.filter(({ state }) => state === 'skipped');
  const refused = skipsFail ? skipped.filter(({ reason }) => !isOfTheKernel(reason)) : [];
  const lines = skipped.map(({ name, reason }) => `${name}: ${describe(reason)}`);
  if (refused.length > 0) lines.push(`${refused.length} skipped that this machine could run: a failure in CI`);
  if (outcomes.length === 0 && broken === 0) lines.push('no test was run: a failure');
  const passed = outcomes.length - skipped.length - (failed - broken);
  lines.push(`${passed} passed, ${failed + refused.length} failed, ${skipped.length - refused.length} skipped`);
  return { lines, failed: failed > 0 || refused.length > 0 || outcomes.length === 0 };
}

export function closingLine({ skipsFail }: { readonly skipsFail: boolean }): Reporter {
  return {
    onTestRunEnd(modules: readonly TestModule[], errors: readonly SerializedError[]) {
      const outcomes = modules.flatMap((module) => [...module.children.allTests()].map(outcomeOf));
      const broken = errors.length + modules.reduce((sum, module) => sum + brokenIn(module), 0);
      const closing = close(outcomes, broken, skipsFail);
      process.stdout.write(`\n${closing.lines.join('\n')}\n`);
      if (closing.failed) process.exitCode = 1;
    },
  };
}

/** Errors of the file itself or of a suite's hooks, which leave its tests without an outcome of their own. */
function brokenIn(module: TestModule): number {
  const suites = [...module.children.allSuites()];
  return module.errors().length + suites.reduce((sum, suite) => sum + suite.errors().length, 0);
}

function outcomeOf(test: TestCase): Outcome {
  const result = test.result();
  const reason = result.state === 'skipped' ? result.note : undefined;
  return { name: `${test.module.relativeModuleId} > ${test.fullName}`, state: result.state, reason };
}

function isOfTheKernel(reason: string | undefined): boolean {
  return reason !== undefined && withoutPrefix(reason).startsWith('this kernel');
}

function describe(reason: string | undefined): string {
  return `skipped, because ${reason === undefined ? '… (it does not say)' : withoutPrefix(reason)}`;
}

function withoutPrefix(reason: string): string {
  return reason.replace(/^skipped, because /, '');
}
