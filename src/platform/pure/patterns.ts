/** Patterns as people write them, in canonical form; `undefined` where one is not what it should be. */
import { canonicalHost } from './host.ts';

/** A host glob: `*`, a name, or labels of which some are starred. Lower-case punycode. */
export function canonicalHostPattern(text: string): string | undefined {
  if (text === '*') return text;
  if (!text.includes('*')) return canonicalHost(text);
  if (text.includes('***')) return undefined;
  const labels = (text.endsWith('.') ? text.slice(0, -1) : text).split('.');
  // `10.0.0.*`: meant for addresses, which are no names
  if (/^[\d.*]*\d[\d.*]*$/.test(text)) return undefined;
  // `**` is whole labels: inside one it would mean what `*` means
  if (labels.some((label) => label.includes('**') && label !== '**')) return undefined;
  const name = labels.map((label) => (label.includes('*') ? label.replaceAll('*', 'x') : label)).join('.');
  const canonical = canonicalHost(name);
  if (canonical === undefined) return undefined;
  const plain = canonical.split('.');
  return labels.map((label, index) => (label.includes('*') ? label.toLowerCase() : (plain[index] ?? ''))).join('.');
}

export interface UrlPattern {
  readonly scheme: 'http' | 'https';
  /** Canonical host pattern, or an address. */
  readonly host: string;
  /** The scheme's own where none is written. */
  readonly port: number;
  /** A path glob. */
  readonly path: string;
}

/** `http://HOST[:PORT][/PATH]`; without a path any. No query, userinfo or fragment. */
export function parseUrlPattern(text: string): UrlPattern | undefined {
  const match = /^(https?):\/\/(\[[^\]]*\]|[^/:?#@\s]+)(?::(\d{1,5}))?(\/[^?#\s]*)?$/.exec(text);
  if (match === null) return undefined;
  const [, scheme, hostText = '', portText, path = '/**'] = match;
  const host = canonicalHostPattern(hostText);
  const port = portText === undefined ? (scheme === 'https' ? 443 : 80) : Number(portText);
  if (host === undefined || port < 1 || port > 65535 || !isPathPattern(path)) return undefined;
  return { scheme: scheme === 'https' ? 'https' : 'http', host, port, path };
}

/** `*`, or a path as `canonicalPath` gives it, in which `*` and `**` may stand: what no request could match is refused. */
export function isPathPattern(text: string): boolean {
  if (text === '*') return true;
  const plain = /^\/[^?#;%\\\s]*$/.test(text) && !text.includes('//') && !text.includes('***');
  return plain && !/\/\.\.?(\/|$)/.test(text);
}

export interface ClusterNames {
  /** `cluster.local` */
  readonly domain: string;
  /** Of the workload: what a name of one label is looked up in. */
  readonly namespace: string;
}

/** `db` → `db.NAMESPACE.svc.DOMAIN`, `db.shop` and `db.shop.svc` likewise; also of patterns. `undefined` for what is no short name. */
export function completeClusterName(pattern: string, { domain, namespace }: ClusterNames): string | undefined {
  const labels = pattern.split('.');
  if (labels.length === 1)
    return labels[0] === '*' || labels[0] === '**' ? undefined : `${pattern}.${namespace}.svc.${domain}`;
  if (labels.length > 2 && labels.at(-1) === 'svc') return `${pattern}.${domain}`;
  return labels.length === 2 ? `${pattern}.svc.${domain}` : undefined;
}

/** A method of HTTP as it is sent; compared with case. */
export function isMethod(text: string): boolean {
  return /^[A-Z][A-Z-]{0,31}$/.test(text);
}
