import { describe, expect, it } from 'vitest';
import { readReport } from './load.ts';

const report = (lines: string): string => `Running 2s test @ http://origin.test/1k
  1 threads and 32 connections
  106472 requests in 2.10s, 118.60MB read
${lines}Requests/sec:  50701.02
Transfer/sec:     56.47MB
`;

describe('readReport', () => {
  it('reads count and duration', () => expect(readReport(report(''))).toEqual({ requests: 106_472, seconds: 2.1 }));
  it('knows minutes from milliseconds', () => {
    expect(readReport('10 requests in 1.50m, 1MB read').seconds).toBe(90);
    expect(readReport('10 requests in 500.00ms, 1MB read').seconds).toBe(0.5);
  });
  it('refuses a rate of denials', () => {
    expect(() => readReport(report('  Non-2xx or 3xx responses: 1\n'))).toThrow('failed under load');
  });
  it('refuses a rate of errors, but for one request in a thousand', () => {
    const errors = (read: number): string => `  Socket errors: connect 0, read ${String(read)}, write 0, timeout 0\n`;
    expect(readReport(report(errors(106))).requests).toBe(106_472);
    expect(() => readReport(report(errors(107)))).toThrow('failed under load');
  });
  it('refuses silence and no requests', () => {
    expect(() => readReport('unable to connect')).toThrow('no report');
    expect(() => readReport('0 requests in 2.00s, 0B read')).toThrow('failed under load');
  });
});
