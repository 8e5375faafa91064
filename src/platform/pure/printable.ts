/**
 * Text that others chose (names, paths, file contents) made fit to be shown: no character that breaks a line, moves a
 * terminal's cursor, or reorders what a person reads. Nothing is lost, it is written as an escape.
 */

// C0 (but tab and newline where asked), DEL, C1, zero-width and bidirectional controls, line separators, BOM, lone surrogates
const UNPRINTABLE =
  // eslint-disable-next-line no-control-regex -- control characters are what is looked for
  /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]|\p{Surrogate}/gu;

const PLAIN = /^[ -~]*$/;

/** One line: every control character as `\uXXXX`. */
export function printableLine(text: string): string {
  return PLAIN.test(text) ? text : text.replace(UNPRINTABLE, escapeCharacter);
}

/** Several lines: newlines stay. */
export function printableText(text: string): string {
  return text.split('\n').map(printableLine).join('\n');
}

/** JSON of one line that is as safe to print as to parse. */
export function printableJson(value: unknown): string {
  // JSON.stringify leaves C1 and bidirectional controls as they are; they can only stand inside strings, where an escape is the same
  return printableLine(JSON.stringify(value));
}

function escapeCharacter(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}
