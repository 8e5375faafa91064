/** What is valid and probably not meant. */
import { CLASSES } from '../model/classes.ts';
import type { Problem } from '../platform/pure/problem.ts';
import type { Block, Policy, Rule } from './policy.ts';

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
          warn(`${path}.cidrs[${index}]`, `${cidr} includes the metadata addresses of clouds and all private networks`, 'Name smaller ranges, or leave these out by except.');
        }
      });
      const ports = block.ports?.map(String) ?? [];
      if (name === 'http' && ports.length > 0 && ports.every((port) => port === '443' || port === '8443')) {
        warn(path, 'this version does not look inside TLS, so an http rule on this port allows nothing', 'Write a tls rule for the host.');
      }
      (block.urls ?? []).forEach((url, index) => {
        if (url.startsWith('https://')) {
          warn(`${path}.urls[${index}]`, 'this version does not look inside TLS, so this allows nothing', 'Write a tls rule for the host.');
        }
      });
      if (name === 'tls') {
        (block.hosts ?? []).forEach((host, index) => {
          if (/^\*\*?\.(.*\.)?amazonaws\.com(\.cn)?$/.test(host)) {
            warn(`${path}.hosts[${index}]`, `${host} opens every bucket, table and queue of everybody`, 'Name the hosts of your own endpoints.');
          }
        });
      }
    }
  }
  const denied = blocks.filter(({ list, name, block }) => list === 'deny' && (name === 'tcp' || name === 'udp') && isWhole(block));
  for (const wide of denied) {
    for (const { list, path, name } of blocks) {
      if (list === 'allow' && reaches(wide.name, name)) warn(path, `it can never decide: ${wide.path} denies all of its class`, 'Remove one of the two: a deny rule always wins.');
    }
  }
  if (spec.default === 'Allow' && spec.allow.length === 0 && spec.deny.length === 0) {
    warn('spec', 'the policy allows everything and denies nothing', 'Write deny rules, or default: Deny.');
  }
  const namesHosts = blocks.some(({ list, block }) => list === 'allow' && (block.hosts !== undefined || block.urls !== undefined || block.names !== undefined));
  if (spec.default === 'Deny' && spec.allow.length > 0 && !namesHosts && !spec.allow.some((rule) => rule.raw !== undefined)) {
    warn('spec.allow', 'only addresses are allowed and no name, so no name can be looked up', 'Add a dns rule if the workload uses names.');
  }
  return warnings;
}

interface NamedBlock {
  readonly list: 'allow' | 'deny';
  readonly name: string;
  readonly path: string;
  readonly block: Block;
}

function blockOf(rule: Rule, path: string, list: 'allow' | 'deny'): NamedBlock[] {
  return CLASSES.flatMap(({ block: name }) => {
    const block = name === undefined ? undefined : (rule as Readonly<Record<string, unknown>>)[name];
    return name === undefined || block === undefined ? [] : [{ list, name, path: `${path}.${name}`, block: block as Block }];
  });
}

function isWhole(block: Block): boolean {
  const any = block.hosts?.includes('*') ?? (block.cidrs?.includes('0.0.0.0/0') === true && block.cidrs.includes('::/0'));
  return any && block.ports === undefined && block.except === undefined && (block.hosts === undefined || block.cidrs === undefined);
}

function reaches(wide: string, name: string): boolean {
  return wide === 'tcp' ? ['tcp', 'tls', 'http'].includes(name) : ['udp', 'dns'].includes(name);
}
