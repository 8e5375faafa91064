import { describe, expect, it } from 'vitest';
import { close, type Outcome } from './closing-line.ts';

const passed: Outcome = { name: 'a', state: 'passed', reason: undefined };
const failed: Outcome = { name: 'b', state: 'failed', reason: undefined };
const skipped = (reason?: string): Outcome => ({ name: 'c', state: 'skipped', reason });

describe('the closing line', () => {
  it('counts', () => {
    expect(close([passed, passed, failed, skipped('there is no nft')], 0, false)).toEqual({
      lines: ['c: skipped, because there is no nft', '2 passed, 1 failed, 1 skipped'],
      failed: true,
    });
  });

  it('takes a test without an end, and an error outside of tests, for failures', () => {
    const { lines, failed } = close([passed, { ...passed, state: 'pending' }], 1, false);
    expect(lines).toEqual(['1 passed, 2 failed, 0 skipped']);
    expect(failed).toBe(true);
  });

  it('takes a run without tests for a failure', () => {
    expect(close([], 0, false).failed).toBe(true);
  });

  it('lets tests be skipped outside CI', () => {
    expect(close([passed, skipped()], 0, false).failed).toBe(false);
  });

  it.each([
    { reason: 'there is no nft', fails: true },
    { reason: undefined, fails: true },
    { reason: 'this kernel has no nft queue', fails: false },
    { reason: 'skipped, because this kernel has no nft queue', fails: false },
  ])('in CI: a skip because "$reason" fails: $fails', ({ reason, fails }) => {
    const { lines, failed } = close([passed, skipped(reason)], 0, true);
    expect(failed).toBe(fails);
    expect(lines.at(-1)).toBe(fails ? '1 passed, 1 failed, 0 skipped' : '1 passed, 0 failed, 1 skipped');
  });
});
