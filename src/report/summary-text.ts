/**
 * The summary as a person likes to read it: what was reached, what was denied and why, and the rules to add. Plain ASCII;
 * colours and cutting to the width only where a terminal shows it. Names come from the wire and are printed escaped.
 */
import { styleText } from 'node:util';

import { printableJson, printableLine, printableText } from '../platform/pure/printable.ts';
import { REASONS } from './reasons.ts';
import type { Outcome } from './record.ts';
import type { Summary, SummaryLine } from './summary.ts';

export interface TextStyle {
  readonly colour: boolean;
  /** Columns of the terminal; `undefined`: nothing is cut. */
  readonly columns: number | undefined;
  /** The command was watched: what it may need is said too. */
  readonly observing?: boolean;
}

const MAX_ALLOWED_LINES = 30;
const MAX_VIOLATION_LINES = 50;
const MAX_SUGGESTIONS = 30;
const COLOURS = { allowed: 'green', notified: 'yellow', denied: 'red' } as const;

export function formatSummary(summary: Summary, style: TextStyle): string {
  // a look-up before each connection says nothing that the connection does not
  const allowed = summary.lines.filter((line) => line.verdict === 'allowed' && line.class !== 'dns');
  const violations = summary.lines.filter((line) => line.verdict !== 'allowed');
  const shown = [...allowed.slice(0, MAX_ALLOWED_LINES), ...violations.slice(0, MAX_VIOLATION_LINES)];
  const parts = [headline(summary, style)];
  if (shown.length > 0) parts.push(table(shown, style));
  const hidden = allowed.length + violations.length - shown.length;
  if (hidden > 0) parts.push(`  ... and ${plural(hidden, 'more line')}; --output json lists all\n`);
  if (summary.unlisted > 0)
    parts.push(`  ... and ${plural(summary.unlisted, 'access', 'accesses')} to further destinations\n`);
  parts.push(advice(violations));
  if (style.observing === true && violations.length === 0) parts.push(policyFor(allowed));
  return parts.filter((part) => part !== '').join('\n');
}

/** Everything that was gathered, for `--output json`. */
export function summaryToJson(summary: Summary): object {
  return {
    totals: summary.totals,
    unlisted: summary.unlisted,
    destinations: summary.lines.map(({ by, ...line }) => ({
      ...line,
      ...(by !== undefined && { policy: by.policy, policyKind: by.kind, rule: by.rule }),
    })),
  };
}

function headline(summary: Summary, style: TextStyle): string {
  const { allowed, denied, notified } = summary.totals;
  const counts = [
    `${allowed} allowed`,
    ...(notified > 0 ? [paint('notified', `${notified} let through outside the policy`, style)] : []),
    denied > 0 ? paint('denied', `${denied} denied`, style) : '0 denied',
  ];
  const total = allowed + denied + notified;
  return `sallyport: ${plural(total, 'access', 'accesses')}${total === 0 ? '' : `: ${counts.join(', ')}`}\n`;
}

function table(lines: readonly SummaryLine[], style: TextStyle): string {
  const rows = lines.map((line) => ({
    verdict: line.verdict,
    cells: [line.verdict, String(line.count), line.class, printableLine(destinationOf(line)), whyOf(line)] as const,
  }));
  const width = (column: 0 | 1 | 2): number => Math.max(...rows.map((row) => row.cells[column].length));
  const widths = [width(0), width(1), width(2)] as const;
  const before = 2 + widths[0] + 2 + widths[1] + 2 + widths[2] + 2;
  const longest = Math.max(...rows.map((row) => row.cells[3].length));
  const room = style.columns === undefined ? Infinity : Math.max(24, style.columns - before - 1);
  // the name is worth more than the reason
  const nameWidth = Math.min(longest, Math.max(24, room));
  const whyWidth = room - nameWidth - 2;
  return rows
    .map(({ verdict, cells }) => {
      const [word, count, className, name, why] = cells;
      const head = `  ${paint(verdict, word.padEnd(widths[0]), style)}  ${count.padStart(widths[1])}  ${className.padEnd(widths[2])}  `;
      const tail =
        why === '' || whyWidth < 12
          ? cutMiddle(name, nameWidth)
          : `${cutMiddle(name, nameWidth).padEnd(nameWidth)}  ${cutEnd(why, whyWidth)}`;
      return `${head}${tail}\n`;
    })
    .join('');
}

function destinationOf(line: SummaryLine): string {
  const host = line.name.includes(':') ? `[${line.name}]` : line.name;
  const operations = line.operations.length > 0 ? ` (${line.operations.join(', ')})` : '';
  // the port of a look-up is the resolver's
  const port = line.port === 0 || line.class === 'dns' ? '' : `:${line.port}`;
  return `${host}${port}${operations}`;
}

function whyOf(line: SummaryLine): string {
  if (line.verdict === 'allowed') return '';
  if (line.by !== undefined) return printableLine(`${line.reason}: ${line.by.rule} of ${line.by.policy}`);
  return line.reason;
}

/** What to do, said once for each reason, and the rules to add. */
/** For a command that was watched without a policy: the one that allows what it did, and nothing else. */
function policyFor(allowed: readonly SummaryLine[]): string {
  const rules = [...new Set(allowed.flatMap((line) => line.suggestions))];
  if (rules.length === 0) return '';
  const shown = rules.slice(0, MAX_SUGGESTIONS).map((text) => indent(listItem(printableText(text))));
  const more =
    rules.length > shown.length ? `  # ... and ${rules.length - shown.length} more; --output json lists all\n` : '';
  const head = [
    'apiVersion: sallyport.dev/v1alpha1',
    'kind: SecurityPolicy',
    'metadata: {name: observed}',
    'spec:',
    '  podSelector: {}',
    '  default: Deny',
    '  allow:',
  ];
  return `A policy that allows this and nothing else:\n\n${head.join('\n')}\n${shown.join('')}${more}`;
}

function advice(violations: readonly SummaryLine[]): string {
  const suggestions = [...new Set(violations.flatMap((line) => line.suggestions))];
  const reasons = [...new Set(violations.map((line) => line.reason))].filter(isReason);
  const notes = reasons
    .filter((reason) => reason !== 'no-rule' && reason !== 'install-default')
    .map((reason) => `  ${reason}: ${REASONS[reason].meaning}. ${REASONS[reason].remedy}\n`);
  const parts: string[] = [];
  if (notes.length > 0) parts.push(notes.join(''));
  if (suggestions.length > 0) {
    const rules = suggestions.slice(0, MAX_SUGGESTIONS).map((text) => indent(listItem(printableText(text))));
    const more = suggestions.length - rules.length;
    parts.push(
      `To allow ${suggestions.length === 1 ? 'it' : 'them'}, add to the \`allow\` list of a policy:\n\n${rules.join('')}${more > 0 ? `  # ... and ${more} more; --output json lists all\n` : ''}`,
    );
  }
  return parts.join('\n');
}

function isReason(text: string): text is keyof typeof REASONS {
  return Object.hasOwn(REASONS, text);
}

/** As an item of a YAML list, however the suggestion came. */
function listItem(yaml: string): string {
  const text = yaml.trim();
  return text.startsWith('- ') ? text : `- ${text.replaceAll('\n', '\n  ')}`;
}

function indent(text: string): string {
  return `${text.replaceAll(/^/gm, '  ')}\n`;
}

function paint(outcome: Outcome, text: string, style: TextStyle): string {
  return style.colour ? styleText(COLOURS[outcome], text, { validateStream: false }) : text;
}

function cutMiddle(text: string, width: number): string {
  if (text.length <= width) return text;
  const keep = width - 3;
  const head = Math.ceil(keep / 2);
  return `${text.slice(0, head)}...${text.slice(text.length - (keep - head))}`;
}

function cutEnd(text: string, width: number): string {
  return text.length <= width ? text : `${text.slice(0, width - 3)}...`;
}

function plural(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`;
}

export interface SummarySettings {
  readonly when: 'auto' | 'always' | 'never';
  readonly output: 'text' | 'json';
  readonly isTty: boolean;
  /** Nothing is enforced: somebody wants to see what is reached. */
  readonly observing: boolean;
  readonly columns: number | undefined;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** The summary as it is printed on exit; empty where none is wanted. `auto`: a person looks, or somebody must know. */
export function renderSummary(summary: Summary, settings: SummarySettings): string {
  const { when, isTty, observing } = settings;
  const { denied, notified } = summary.totals;
  if (when === 'never' || (when === 'auto' && !isTty && !observing && denied + notified === 0)) return '';
  if (settings.output === 'json') return `${printableJson(summaryToJson(summary))}\n`;
  return formatSummary(summary, {
    colour: wantsColour(settings.env, isTty),
    columns: isTty ? settings.columns : undefined,
    observing,
  });
}

/** https://no-color.org: set and not empty. */
function wantsColour(env: SummarySettings['env'], isTty: boolean): boolean {
  return isTty && (env['NO_COLOR'] ?? '') === '' && env['TERM'] !== 'dumb';
}
