/**
 * Who imports whom. Input: source text of the product's files. Output: import edges, and as sentences what they and the
 * files break of the layout in src/README.md. A folder or a form that it does not know is a problem, never let through.
 */
import { dirname, join, normalize } from 'node:path/posix';
import ts from 'typescript';

/** `to` is a path from the root for a file of ours; for anything else what was written: `node:fs`, `zod`. */
export interface Edge {
  readonly from: string;
  readonly to: string;
}

/** From the top down. A file may import what is further down than itself, and its own folder; never a neighbour. */
const LAYERS: readonly (readonly string[])[] = [
  ['cmd'],
  ['src/sidecar', 'src/run', 'src/webhook', 'src/controller', 'src/console', 'src/cli'],
  ['src/engine', 'src/distribute', 'src/kube'],
  ['src/report', 'src/policy'],
  ['src/api'],
  ['src/model'],
  ['src/platform/pure'],
];
const IO = 'src/platform/io';
/** They decide the same for the same input: what they may use of Node and of packages touches nothing outside. */
const PURE_FOLDERS = ['src/policy', 'src/api', 'src/model', 'src/platform/pure'];
const PURE_MODULES = new Set(['node:buffer', 'node:crypto', 'node:path/posix', 'node:url']);
const PURE_PACKAGES = new Set(['lru-cache', 'yaml', 'zod']);
/** Ways of a layer that look downwards and are forbidden all the same. */
const NEVER: readonly (readonly [from: string, to: string])[] = [['src/sidecar', 'src/kube']];
const PROTOCOLS = 'src/engine/protocols';
const PROCESS_MEMBERS = new Set(['env', 'exit', 'exitCode', 'abort', 'reallyExit', 'loadEnvFile']);

/** Static and dynamic imports, re-exports and requires, types too. */
export function edgesOf(from: string, text: string): readonly Edge[] {
  return ts.preProcessFile(text, true, true).importedFiles.map(({ fileName }) => ({
    from,
    to: fileName.startsWith('.') ? normalize(join(dirname(from), fileName)) : fileName,
  }));
}

/** What is wrong with one edge, or undefined. */
export function judgeEdge({ from, to }: Edge): string | undefined {
  const source = folderOf(from);
  if (source === undefined) return `${from}: its folder is in no layer; add it to the layout`;
  if (to.startsWith('src/') || to.startsWith('cmd/')) return judgeOwn(from, source, to);
  if (to === 'package.json') return source === 'cmd' ? undefined : `${from} imports ${to}: only cmd may`;
  if (/^(\.|\/)|^(test|tools|demo)\//.test(to)) return `${from} imports ${to}: that is no part of the product`;
  return judgeForeign(from, source, to);
}

function judgeOwn(from: string, source: string, to: string): string | undefined {
  const target = folderOf(to);
  if (target === undefined) return `${to}: its folder is in no layer; add it to the layout`;
  if (from.startsWith(`${PROTOCOLS}/`)) return judgeProtocol(from, to, target);
  if (source === target) return undefined;
  if (NEVER.some(([a, b]) => a === source && b === target)) return `${from} imports ${to}: ${source} never ${target}`;
  if (target === IO) {
    return PURE_FOLDERS.includes(source) ? `${from} imports ${to}: ${source} does no I/O` : undefined;
  }
  if (source === IO) return target === 'src/platform/pure' ? undefined : upwards(from, to);
  return layerOf(source) < layerOf(target) ? undefined : upwards(from, to);
}

/** A protocol sees bytes and makes accesses: its own folder, what all protocols share, the model, never rules. */
function judgeProtocol(from: string, to: string, target: string): string | undefined {
  if (target === 'src/model' || target === 'src/platform/pure') return undefined;
  const shared = dirname(to) === PROTOCOLS;
  const own = dirname(from) !== PROTOCOLS && to.startsWith(`${protocolOf(from)}/`);
  return shared || own
    ? undefined
    : `${from} imports ${to}: a protocol imports model, platform/pure and its own folder`;
}

function judgeForeign(from: string, source: string, to: string): string | undefined {
  if (ts.isExternalModuleNameRelative(to)) return `${from} imports ${to}: cannot be followed`;
  if (!PURE_FOLDERS.includes(source) && !from.startsWith(`${PROTOCOLS}/`)) return undefined;
  const pure = PURE_MODULES.has(to) || PURE_PACKAGES.has(to) || (source === 'src/platform/pure' && to === 'node:util');
  return pure ? undefined : `${from} imports ${to}: ${source} does no I/O`;
}

function upwards(from: string, to: string): string {
  return `${from} imports ${to}: imports point down only (cmd → run, cli … → engine … → report, policy → api → model → platform/pure)`;
}

/** `src/engine/protocols/http/body.ts` → `src/engine/protocols/http` */
function protocolOf(path: string): string {
  return path.split('/').slice(0, 4).join('/');
}

function folderOf(path: string): string | undefined {
  return [...LAYERS.flat(), IO].find((folder) => path.startsWith(`${folder}/`));
}

function layerOf(folder: string): number {
  return LAYERS.findIndex((folders) => folders.includes(folder));
}

/** One cycle for each group of files that reach one another: `a → b → a`. */
export function findCycles(edges: readonly Edge[]): readonly string[] {
  const targets = new Map<string, string[]>();
  for (const { from, to } of edges) targets.set(from, [...(targets.get(from) ?? []), to]);
  const finished = new Set<string>();
  const way: string[] = [];
  const cycles: string[] = [];
  const visit = (path: string): void => {
    if (finished.has(path)) return;
    const seenAt = way.indexOf(path);
    if (seenAt >= 0) {
      cycles.push([...way.slice(seenAt), path].join(' → '));
      return;
    }
    way.push(path);
    for (const next of targets.get(path) ?? []) visit(next);
    way.pop();
    finished.add(path);
  };
  for (const path of targets.keys()) visit(path);
  return cycles;
}

/** Places that read the environment or end the process, or hand `process` on so that nobody can tell. */
export function usesOfProcess(path: string, text: string): readonly string[] {
  const file = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true);
  const found: string[] = [];
  const report = (node: ts.Node, what: string): void => {
    found.push(`${path}:${file.getLineAndCharacterOfPosition(node.getStart(file)).line + 1}: ${what}`);
  };
  const visit = (node: ts.Node): void => {
    if (ts.isIdentifier(node) && node.text === 'process') {
      const { parent } = node;
      if (!ts.isPropertyAccessExpression(parent)) {
        if (!isName(node, parent)) report(node, 'hands process on');
      } else if (parent.expression !== node) {
        report(node, 'reaches process by another object');
      } else if (PROCESS_MEMBERS.has(parent.name.text)) {
        report(node, `uses process.${parent.name.text}`);
      }
    }
    ts.forEachChild(node, visit);
  };
  visit(file);
  if (edgesOf(path, text).some(({ to }) => /^(node:)?process$/.test(to))) found.push(`${path}: imports process`);
  return found;
}

/** A member or a type's field that is merely called `process`. */
function isName(node: ts.Identifier, parent: ts.Node): boolean {
  return (ts.isPropertySignature(parent) || ts.isPropertyAssignment(parent)) && parent.name === node;
}
