/**
 * Paths of request targets in one canonical form, decoded. What servers read in two ways (double slashes, dot segments,
 * encoded slashes, double encoding, path parameters, what is no URI) has no canonical form: `undefined`, which no rule
 * that limits paths allows.
 */

export interface CanonicalTarget {
  readonly path: string;
  /** As it came, without the question mark. */
  readonly query: string;
}

/** `raw`: an origin-form target, path and query. */
export function canonicalPath(raw: string): CanonicalTarget | undefined {
  const mark = raw.indexOf('?');
  const rawPath = mark < 0 ? raw : raw.slice(0, mark);
  const query = mark < 0 ? '' : raw.slice(mark + 1);
  if (!PLAIN.test(rawPath) || rawPath.includes('//')) return undefined;
  const path = rawPath.includes('%') ? decodePath(rawPath) : rawPath;
  if (path === undefined) return undefined;
  if (path.includes('/.') && hasDotSegment(path)) return undefined;
  return { path, query };
}

/** A slash, then ASCII without space, `#`, `;` (some servers drop it and what follows, so `/admin;x` is `/admin`) and `\`. */
const PLAIN = /^\/[!"$-:<-[\]-~]*$/;

function decodePath(path: string): string | undefined {
  // an encoded slash, semicolon, backslash, NUL or control character; an encoded percent may be decoded twice
  if (/%(2f|3b|5c|25|[01][0-9a-f]|7f)/i.test(path)) return undefined;
  try {
    return decodeURIComponent(path);
  } catch {
    return undefined;
  }
}

function hasDotSegment(path: string): boolean {
  return /\/\.\.?(\/|$)/.test(path);
}
