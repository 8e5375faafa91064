/** Two projects: unit (seconds, no privileges, no packages) and integration (real programs and sockets, one file at a time). */
import { defineConfig } from 'vitest/config';
import { closingLine } from './tools/closing-line.ts';

export default defineConfig({
  test: {
    reporters: ['default', closingLine({ skipsFail: process.env['CI'] === 'true' })],
    projects: [
      {
        test: {
          name: 'unit',
          include: ['{cmd,src,demo,tools}/**/*.test.ts', 'test/*.test.ts', 'test/{conformance,bench}/**/*.test.ts'],
          sequence: { groupOrder: 0 },
        },
      },
      {
        test: {
          name: 'integration',
          include: ['test/integration/**/*.test.ts'],
          sequence: { groupOrder: 1 },
          fileParallelism: false,
          maxWorkers: 1,
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
    ],
  },
});
