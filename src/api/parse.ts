/**
 * Policies from text: YAML (several documents) or JSON. Strict: no duplicate keys, no merge keys, no aliases (a few lines
 * of them can stand for gigabytes). Problems carry the line and column of their field.
 */
import { isMap, isScalar, isSeq, LineCounter, parseAllDocuments, visit, type Document } from 'yaml';
import type { Problem, Result } from '../platform/pure/problem.ts';
import type { Policy } from './policy.ts';
import { validatePolicy } from './validate.ts';

const MAX_CHARACTERS = 2 * 1024 * 1024;
const MAX_DOCUMENTS = 1000;
const MAX_SYNTAX_PROBLEMS = 20;
const MAX_DEPTH = 100;
const TOO_DEEP = `it is nested deeper than ${MAX_DEPTH} levels`;

export function parsePolicies(text: string, sourceName: string): Result<readonly Policy[]> {
  if (text.length > MAX_CHARACTERS) {
    return { ok: false, problems: [at(sourceName, 'the file is larger than 2 MiB', 'Split it into several files.')] };
  }
  const lines = new LineCounter();
  const documents = parseAllDocuments(text, {
    lineCounter: lines,
    uniqueKeys: true,
    merge: false,
    strict: true,
    version: '1.2',
    schema: 'core',
  });
  if ('empty' in documents) return { ok: true, value: [], warnings: [] };
  if (documents.length > MAX_DOCUMENTS) {
    return {
      ok: false,
      problems: [at(sourceName, `there are more than ${MAX_DOCUMENTS} documents`, 'Split it into several files.')],
    };
  }
  const problems: Problem[] = [];
  const warnings: Problem[] = [];
  const policies: Policy[] = [];
  const seen = new Set<string>();
  for (const document of documents) {
    const syntax = syntaxProblems(document, text, sourceName, lines);
    if (syntax.length > 0) {
      problems.push(...syntax);
      continue;
    }
    const { contents } = document;
    // between two marks, or after the last
    if (contents === null || (isScalar(contents) && contents.value === null && contents.source === '')) continue;
    const placed = (problem: Problem): Problem => ({
      ...problem,
      source: placeOf(document, problem.path, sourceName, lines),
    });
    const result = validatePolicy(document.toJS());
    if (!result.ok) {
      problems.push(...result.problems.map(placed));
      continue;
    }
    const { kind, metadata } = result.value;
    const key = `${kind} ${metadata.namespace ?? ''}/${metadata.name}`;
    if (seen.has(key)) {
      problems.push(
        placed({
          path: 'metadata.name',
          message: `${kind} ${metadata.name} is there twice`,
          remedy: 'Rename or remove one of them.',
          severity: 'error',
        }),
      );
    }
    seen.add(key);
    policies.push(result.value);
    warnings.push(...result.warnings.map(placed));
  }
  return problems.length > 0 ? { ok: false, problems } : { ok: true, value: policies, warnings };
}

function syntaxProblems(document: Document.Parsed, text: string, sourceName: string, lines: LineCounter): Problem[] {
  const problems = [...document.errors, ...document.warnings].slice(0, MAX_SYNTAX_PROBLEMS).map((error): Problem => {
    const { line, col } = lines.linePos(error.pos[0]);
    const said = error.message.split('\n')[0]?.replace(/ at line \d+, column \d+:?$/, '') ?? 'it cannot be read';
    const repeated = error.code === 'DUPLICATE_KEY' ? /^"?([\w.-]+)/.exec(text.slice(error.pos[0]))?.[1] : undefined;
    const known = said.includes('call stack') ? TOO_DEEP : said;
    const message = repeated === undefined ? known : `the key ${repeated} is there twice`;
    return { ...at(sourceName, message, 'Correct the YAML there.'), source: `${sourceName}:${line}:${col}` };
  });
  if (problems.length > 0) return problems;
  visit(document, {
    Alias(_key, node) {
      const { line, col } = lines.linePos(node.range?.[0] ?? 0);
      problems.push({
        ...at(sourceName, 'aliases (*name) are not taken', 'Write the value out.'),
        source: `${sourceName}:${line}:${col}`,
      });
      return visit.BREAK;
    },
    Collection(_key, node, path) {
      if (path.length <= 2 * MAX_DEPTH) return undefined;
      const { line, col } = lines.linePos(node.range?.[0] ?? 0);
      problems.push({
        ...at(sourceName, TOO_DEEP, 'A policy needs no more than ten.'),
        source: `${sourceName}:${line}:${col}`,
      });
      return visit.BREAK;
    },
    Pair(_key, pair) {
      if (!isScalar(pair.key) || typeof pair.key.value !== 'string') {
        problems.push(at(sourceName, 'a key is not a plain text', 'Quote it.'));
        return visit.BREAK;
      }
      return undefined;
    },
  });
  return problems;
}

function at(sourceName: string, message: string, remedy: string): Problem {
  return { path: '', message, remedy, severity: 'error', source: sourceName };
}

/** Where the field, or the nearest thing around it that is there, begins. */
function placeOf(document: Document.Parsed, path: string, sourceName: string, lines: LineCounter): string {
  let node: unknown = document.contents;
  let offset = document.contents?.range[0] ?? 0;
  for (const part of path.match(/"(?:[^"\\]|\\.)*"|[^.[\]]+/g) ?? []) {
    const name = part.startsWith('"') ? (JSON.parse(part) as string) : part;
    if (isMap(node)) {
      const pair = node.items.find(({ key }) => isScalar(key) && key.value === name);
      if (pair === undefined) break;
      if (isScalar(pair.key) && pair.key.range) offset = pair.key.range[0];
      node = pair.value;
    } else if (isSeq(node)) {
      node = node.items[Number(name)];
      if (isScalar(node) || isMap(node) || isSeq(node)) offset = node.range?.[0] ?? offset;
    } else break;
  }
  const { line, col } = lines.linePos(offset);
  return `${sourceName}:${line}:${col}`;
}
