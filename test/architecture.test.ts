/** The layout of src/README.md, held: no import against its direction, no cycle, no environment or exit outside cmd. */
import { globSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { edgesOf, findCycles, judgeEdge, usesOfProcess, type Edge } from './import-graph.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const sources = globSync('{cmd,src}/**/*.ts', { cwd: root })
  .filter((path) => !path.endsWith('.test.ts'))
  .map((path) => ({ path, text: readFileSync(`${root}/${path}`, 'utf8') }));
const edges = sources.flatMap(({ path, text }) => edgesOf(path, text));

describe('the sources', () => {
  it('are found, with their imports', () => {
    expect(sources.length).toBeGreaterThan(50);
    expect(edges).toContainEqual({ from: 'cmd/sallyport.ts', to: 'src/cli/main.ts' });
  });

  it('import along the layout only', () => {
    expect(edges.flatMap((edge) => judgeEdge(edge) ?? [])).toEqual([]);
  });

  it('have no import cycle', () => {
    expect(findCycles(edges)).toEqual([]);
  });

  it('read the environment and exit in cmd only', () => {
    const outside = sources.filter(({ path }) => !path.startsWith('cmd/'));
    expect(outside.flatMap(({ path, text }) => usesOfProcess(path, text))).toEqual([]);
  });
});

describe('an edge', () => {
  const verdict = (edge: Edge): 'good' | 'bad' => (judgeEdge(edge) === undefined ? 'good' : 'bad');

  it.each([
    { from: 'cmd/sallyport.ts', to: 'src/run/run.ts' },
    { from: 'cmd/sallyport.ts', to: 'src/platform/pure/errors.ts' },
    { from: 'cmd/sallyport.ts', to: 'package.json' },
    { from: 'src/run/run.ts', to: 'src/engine/engine.ts' },
    { from: 'src/run/run.ts', to: 'src/run/box.ts' },
    { from: 'src/run/run.ts', to: 'src/platform/io/libc.ts' },
    { from: 'src/engine/judge.ts', to: 'src/policy/decide.ts' },
    { from: 'src/engine/udp.ts', to: 'node:dgram' },
    { from: 'src/policy/compile.ts', to: 'node:crypto' },
    { from: 'src/api/policy.ts', to: 'zod' },
    { from: 'src/platform/io/libc.ts', to: 'src/platform/pure/errors.ts' },
    { from: 'src/engine/protocols/http/body.ts', to: 'src/engine/protocols/http/syntax.ts' },
    { from: 'src/engine/protocols/http/body.ts', to: 'src/engine/protocols/codec.ts' },
    { from: 'src/engine/protocols/http/body.ts', to: 'src/model/access.ts' },
  ])('$from → $to is good', (edge) => {
    expect(verdict(edge)).toBe('good');
  });

  it.each([
    { from: 'src/policy/decide.ts', to: 'src/engine/judge.ts' },
    { from: 'src/policy/decide.ts', to: 'src/report/record.ts' },
    { from: 'src/policy/decide.ts', to: 'src/platform/io/files.ts' },
    { from: 'src/policy/decide.ts', to: 'node:fs' },
    { from: 'src/policy/decide.ts', to: 'koffi' },
    { from: 'src/model/access.ts', to: 'src/api/policy.ts' },
    { from: 'src/api/policy.ts', to: 'node:fs/promises' },
    { from: 'src/platform/pure/host.ts', to: 'node:dns' },
    { from: 'src/platform/pure/host.ts', to: 'src/model/access.ts' },
    { from: 'src/platform/io/files.ts', to: 'src/model/access.ts' },
    { from: 'src/run/run.ts', to: 'src/cli/print.ts' },
    { from: 'src/cli/run.ts', to: 'src/run/run.ts' },
    { from: 'src/engine/engine.ts', to: 'src/kube/client.ts' },
    { from: 'src/engine/engine.ts', to: 'cmd/sallyport.ts' },
    { from: 'src/sidecar/sidecar.ts', to: 'src/kube/client.ts' },
    { from: 'src/engine/protocols/http/body.ts', to: 'src/policy/decide.ts' },
    { from: 'src/engine/protocols/http/body.ts', to: 'src/engine/protocols/tls/session.ts' },
    { from: 'src/engine/protocols/http/body.ts', to: 'src/engine/judge.ts' },
    { from: 'src/engine/protocols/http/body.ts', to: 'node:net' },
    { from: 'src/engine/protocols/codec.ts', to: 'src/engine/protocols/http/body.ts' },
    { from: 'src/engine/engine.ts', to: 'test/bench/load.ts' },
    { from: 'src/engine/engine.ts', to: 'package.json' },
    { from: 'src/somewhere/new.ts', to: 'src/model/access.ts' },
    { from: 'src/engine/engine.ts', to: 'src/somewhere/new.ts' },
  ])('$from → $to is bad', (edge) => {
    expect(verdict(edge)).toBe('bad');
  });
});

it('finds every form of import', () => {
  const text = `import a from './a.ts'; import type { B } from '../b.ts'; export * from './c.ts';
    export type { D } from './d.ts'; import 'node:fs'; const e = () => import('./e.ts'); type F = import('./f.ts').F;`;
  expect(edgesOf('src/run/x.ts', text).map(({ to }) => to)).toEqual(
    expect.arrayContaining([
      'src/run/a.ts',
      'src/b.ts',
      'src/run/c.ts',
      'src/run/d.ts',
      'node:fs',
      'src/run/e.ts',
      'src/run/f.ts',
    ]),
  );
});

describe('cycles', () => {
  it('are found, short and long', () => {
    expect(findCycles([{ from: 'a', to: 'a' }])).toEqual(['a → a']);
    const long = ['ab', 'bc', 'cd', 'db', 'ae'].map(([from = '', to = '']) => ({ from, to }));
    expect(findCycles(long)).toEqual(['b → c → d → b']);
  });

  it('are not seen where two ways lead to one file', () => {
    const diamond = ['ab', 'ac', 'bd', 'cd'].map(([from = '', to = '']) => ({ from, to }));
    expect(findCycles(diamond)).toEqual([]);
  });
});

describe('a use of process', () => {
  it.each([
    'process.env["HOME"]',
    'process.exit(1)',
    'process.exitCode = 1',
    'const { env } = process',
    'f(process)',
    'process["env"]',
    'globalThis.process.env',
    'import { env } from "node:process"',
    'import process from "process"',
    'await import("node:process")',
  ])('%s is found', (text) => {
    expect(usesOfProcess('src/x.ts', text)).not.toEqual([]);
  });

  it.each([
    'process.on("exit", f)',
    'process.uptime()',
    '// process.exit()',
    '"process.env"',
    'x === "process"',
    'type T = { process: 1 }',
  ])('%s is nothing', (text) => {
    expect(usesOfProcess('src/x.ts', text)).toEqual([]);
  });
});
