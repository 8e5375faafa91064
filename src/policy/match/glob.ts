/**
 * Globs, compiled once to a test. Host names go by labels (`*` one, `**` one or more), paths stop `*` at a slash, other
 * text does not. A value that is exactly `*` means any in all three.
 */

export type Test = (value: string) => boolean;

const ANY: Test = () => true;

/** URL paths, S3 keys, SSM and secret names: `*` stops at `/`, `**` does not. Matches the whole value. */
export function compilePathGlob(pattern: string): Test {
  if (pattern === '*' || pattern === '**' || pattern === '/**') return ANY;
  const star = pattern.indexOf('*');
  if (star < 0) return (value) => value === pattern;
  // `/v1/**`, the commonest of all
  if (star === pattern.length - 2 && pattern.endsWith('**')) {
    const prefix = pattern.slice(0, -2);
    return (value) => value.startsWith(prefix);
  }
  return compileStates(pattern, '/', true);
}

/** Everything else: `*` is any run. */
export function compileTextGlob(pattern: string): Test {
  if (pattern === '*') return ANY;
  if (!pattern.includes('*')) return (value) => value === pattern;
  return compileStates(pattern, '', true);
}

/** Canonical host names. `*` alone is any. */
export function compileHostGlob(pattern: string): Test {
  if (pattern === '*') return ANY;
  if (!pattern.includes('*')) return (value) => value === pattern;
  // one label, starred as a whole: `*.example.com`
  if (pattern.startsWith('*.') && !pattern.includes('*', 1)) {
    const suffix = pattern.slice(1);
    return (value) =>
      value.endsWith(suffix) && value.length > suffix.length && !value.slice(0, -suffix.length).includes('.');
  }
  if (pattern.startsWith('**.') && !pattern.includes('*', 2)) {
    const suffix = pattern.slice(2);
    return (value) => value.endsWith(suffix) && value.length > suffix.length;
  }
  return compileStates(pattern, '.', false);
}

/** The part of a host pattern after its last starred label: what every host that matches ends with. */
export function literalSuffix(pattern: string): string {
  const star = pattern.lastIndexOf('*');
  const dot = pattern.indexOf('.', star);
  return star < 0 ? pattern : dot < 0 ? '' : pattern.slice(dot + 1);
}

const SINGLE = -1;
const DOUBLE = -2;

/**
 * Any other pattern, as a set of states walked once over the value: time grows with the product of the two lengths,
 * whatever the value says. (A regular expression with several stars can be made to take hours.)
 */
function compileStates(pattern: string, stop: string, singleMayBeEmpty: boolean): Test {
  const stopCode = stop === '' ? -1 : stop.charCodeAt(0);
  const tokens: number[] = [];
  for (let index = 0; index < pattern.length; index += 1) {
    if (pattern[index] !== '*') tokens.push(pattern.charCodeAt(index));
    else if (pattern[index + 1] === '*') {
      tokens.push(DOUBLE);
      index += 1;
    } else tokens.push(SINGLE);
  }
  const end = tokens.length;

  /** Marks `state`, and what is reached from it without a character. */
  function enter(states: Uint8Array, state: number): void {
    for (let at = state; at <= end; at += 1) {
      states[at] = 1;
      const token = tokens[at];
      const mayBeEmpty = token === DOUBLE ? singleMayBeEmpty : token === SINGLE && singleMayBeEmpty;
      if (!mayBeEmpty) return;
    }
  }

  // two sets for all values: a test is never entered twice at once
  let current = new Uint8Array(end + 1);
  let next = new Uint8Array(end + 1);
  return (value) => {
    current.fill(0);
    enter(current, 0);
    for (let index = 0; index < value.length; index += 1) {
      const code = value.charCodeAt(index);
      next.fill(0);
      let alive = false;
      for (let at = 0; at < end; at += 1) {
        if (current[at] !== 1) continue;
        const token = tokens[at];
        if (token === DOUBLE || (token === SINGLE && code !== stopCode)) {
          next[at] = 1;
          enter(next, at + 1);
          alive = true;
        } else if (token === code) {
          enter(next, at + 1);
          alive = true;
        }
      }
      if (!alive) return false;
      [current, next] = [next, current];
    }
    return current[end] === 1;
  };
}
