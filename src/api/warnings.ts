/** What is valid and probably not meant. */
import type { ClassName } from '../model/access.ts';
import { CLASSES, contains } from '../model/classes.ts';
import { cidrContains, parseCidr } from '../platform/pure/address.ts';
import { canonicalHostPattern, parseUrlPattern } from '../platform/pure/patterns.ts';
import type { Problem } from '../platform/pure/problem.ts';
import type { Block, OnViolation, Policy, PolicySpec, Rule } from './policy.ts';

export function warnAbout({ spec }: Policy): readonly Problem[] {
  const warnings: Problem[] = [];
  const warn = (path: string, message: string, remedy: string): void => {
    warnings.push({ path, message, remedy, severity: 'warning' });
  };
  const blocks = (['allow', 'deny'] as const).flatMap((list) =>
    spec[list].flatMap((rule, index) => blockOf(rule, `spec.${list}[${index}]`, list)),
  );
  for (const { list, name, path, block } of blocks) {
    if (list === 'allow') {
      (block.cidrs ?? []).forEach((cidr, index) => {
        if ((cidr === '0.0.0.0/0' || cidr === '::/0') && name !== 'icmp' && block.except === undefined) {
          warn(
            `${path}.cidrs[${index}]`,
            `${cidr} includes the metadata addresses of clouds and all private networks`,
            'Name smaller ranges, or leave these out by except.',
          );
        }
      });
      const ports = block.ports?.map(String) ?? [];
      if (name === 'http' && ports.length > 0 && ports.every((port) => port === '443' || port === '8443')) {
        warn(
          path,
          'this version does not look inside TLS, so an http rule on this port allows nothing',
          'Write a tls rule for the host.',
        );
      }
      (block.urls ?? []).forEach((url, index) => {
        if (url.startsWith('https://')) {
          warn(
            `${path}.urls[${index}]`,
            'this version does not look inside TLS, so this allows nothing',
            'Write a tls rule for the host.',
          );
        }
      });
      if (name === 'tls') {
        (block.hosts ?? []).forEach((host, index) => {
          if (/^\*\*?\.(.*\.)?amazonaws\.com(\.cn)?$/.test(host)) {
            warn(
              `${path}.hosts[${index}]`,
              `${host} opens every bucket, table and queue of everybody`,
              'Name the hosts of your own endpoints.',
            );
          }
        });
      }
    }
  }
  for (const [path, by] of findShadowed(blocks, spec)) {
    warn(path, `it can never decide: ${by} denies all of it`, 'Remove one of the two: a deny rule always wins.');
  }
  for (const { list, name, path, block } of blocks) {
    if (list === 'deny' && name === 'udp' && deniesQueries(block)) {
      warn(
        path,
        'it denies all DNS queries too',
        'Name ports other than 53, or leave out hosts, if names must still be looked up.',
      );
    }
  }
  if (spec.default === 'Allow' && spec.allow.length === 0 && spec.deny.length === 0) {
    warn('spec', 'the policy allows everything and denies nothing', 'Write deny rules, or default: Deny.');
  }
  const namesHosts = blocks.some(
    ({ list, block }) =>
      list === 'allow' && (block.hosts !== undefined || block.urls !== undefined || block.names !== undefined),
  );
  if (
    spec.default === 'Deny' &&
    spec.allow.length > 0 &&
    !namesHosts &&
    !spec.allow.some((rule) => rule.raw !== undefined)
  ) {
    warn(
      'spec.allow',
      'only addresses are allowed and no name, so no name can be looked up',
      'Add a dns rule if the workload uses names.',
    );
  }
  return warnings;
}

interface NamedBlock {
  readonly list: 'allow' | 'deny';
  readonly name: ClassName;
  readonly path: string;
  readonly block: Block;
  readonly onViolation: OnViolation | undefined;
}

function blockOf(rule: Rule, path: string, list: 'allow' | 'deny'): NamedBlock[] {
  return CLASSES.flatMap(({ class: name, block: key }) => {
    const block = key === undefined ? undefined : (rule as Readonly<Record<string, unknown>>)[key];
    if (key === undefined || block === undefined) return [];
    return [{ list, name, path: `${path}.${key}`, block: block as Block, onViolation: rule.onViolation }];
  });
}

function deniesQueries({ hosts, cidrs, ports, except }: Block): boolean {
  const anywhere = hosts?.includes('*') ?? cidrs?.some((cidr) => cidr.endsWith('/0')) ?? false;
  return anywhere && except === undefined && (ports?.map(String).includes('53') ?? true);
}

// ── rules that can never decide ──────────────────────────────────────────────────────────────────────────────────

/** Comparisons made before no more is said: a thousand rules of 500 hosts on either side are not worth minutes. */
const MAX_COMPARISONS = 2_000_000;

/** Allow rules with the deny rule that covers each: of the same or a wider class, wherever the allow rule leads, without further limits. */
function findShadowed(
  blocks: readonly NamedBlock[],
  spec: PolicySpec,
): readonly (readonly [path: string, by: string])[] {
  const denying = blocks.flatMap((deny) => {
    const { block, list } = deny;
    const trial = deny.onViolation === 'Notify' && spec.onViolation === 'Block';
    const limited = [block.paths, block.methods, block.operations, block.except, block.urls].some(
      (values) => values !== undefined,
    );
    if (list !== 'deny' || trial || limited) return [];
    const hosts = [...(block.hosts ?? []), ...(block.names ?? [])].map(canonical);
    return [
      {
        ...deny,
        hosts: hosts.length === 0 ? undefined : new Set(hosts),
        cidrs: block.cidrs?.flatMap((cidr) => parseCidr(cidr) ?? []),
      },
    ];
  });
  const found: (readonly [string, string])[] = [];
  let comparisons = 0;
  for (const { list, name, path, block } of blocks) {
    if (list !== 'allow' || comparisons > MAX_COMPARISONS) continue;
    const hosts = (block.hosts ?? block.names ?? block.urls?.flatMap((url) => parseUrlPattern(url)?.host ?? []))?.map(
      canonical,
    );
    const cidrs = block.cidrs?.flatMap((cidr) => parseCidr(cidr) ?? []);
    const ports = block.ports?.map(String);
    const by = denying.find((deny) => {
      comparisons += 1;
      if (!contains(deny.name, name)) return false;
      const denied = deny.block.ports?.map(String);
      if (denied !== undefined && !(ports?.every((port) => denied.includes(port)) ?? false)) return false;
      const types = deny.block.types?.map((type) => String(type).toUpperCase());
      if (types !== undefined && !(block.types?.every((type) => types.includes(String(type).toUpperCase())) ?? false))
        return false;
      const ranges = deny.cidrs;
      if (
        ranges !== undefined &&
        !(
          cidrs?.every((cidr) =>
            ranges.some((range) => range.prefix <= cidr.prefix && cidrContains(range, cidr.address)),
          ) ?? false
        )
      )
        return false;
      const names = deny.hosts;
      if (names === undefined || names.has('*')) return true;
      comparisons += hosts?.length ?? 0;
      return hosts?.every((host) => covers(names, host)) ?? false;
    });
    if (by !== undefined) found.push([path, by.path]);
  }
  return found;
}

function canonical(host: string): string {
  return canonicalHostPattern(host) ?? host;
}

/** Whether one of the patterns matches all that `host` does; not every such case is seen. */
function covers(patterns: ReadonlySet<string>, host: string): boolean {
  if (patterns.has(host)) return true;
  for (let dot = host.indexOf('.'); dot >= 0; dot = host.indexOf('.', dot + 1)) {
    const rest = host.slice(dot + 1);
    if (patterns.has(`**.${rest}`)) return true;
    if (!host.slice(0, dot).includes('.') && !host.startsWith('**') && patterns.has(`*.${rest}`)) return true;
  }
  return false;
}
