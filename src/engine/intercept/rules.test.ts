import { spawnSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { parseCidr, type Cidr } from '../../platform/pure/address.ts';
import { MARKS, planRules, renderIptables, renderNft, type FilterRule, type InterceptPlan } from './rules.ts';

const own = ['192.0.0.2/32', 'fd73:616c:6c79::2/128']
  .map((text) => parseCidr(text))
  .filter((cidr): cidr is Cidr => cidr !== undefined);
const plan: InterceptPlan = {
  families: [4, 6],
  ports: { 4: { tcp: 1001, udp: 1002 }, 6: { tcp: 1003, udp: 1004 } },
  ownAddresses: own,
};

function chainOf(chain: FilterRule['chain'], family: 4 | 6): readonly FilterRule[] {
  return planRules(plan).filter((rule) => rule.chain === chain && rule.family === family);
}

describe('planRules', () => {
  it('gives IPv6 every rule that IPv4 has, and neighbour discovery', () => {
    const shape = (rule: FilterRule): string =>
      JSON.stringify([rule.chain, rule.action.do, rule.match.protocol, rule.match.direction]);
    const four = planRules(plan)
      .filter((rule) => rule.family === 4)
      .map(shape);
    const six = planRules(plan)
      .filter((rule) => rule.family === 6 && rule.match.icmpType === undefined)
      .map(shape);
    expect(six).toEqual(four);
  });

  it.each([4, 6] as const)('ends OUTPUT of IPv%d by dropping all that was not accepted', (family) => {
    const rules = chainOf('filter-output', family);
    expect(rules.at(-1)).toMatchObject({ match: {}, action: { do: 'drop' } });
    const accepted = rules.filter((rule) => rule.action.do === 'accept').map((rule) => rule.match);
    for (const match of accepted) {
      // our mark, the mark that leads to our listeners, replies on what came in, loopback, neighbour discovery
      const known =
        match.mark !== undefined ||
        (match.established === true && match.direction === 'reply') ||
        match.destination !== undefined ||
        match.icmpType !== undefined;
      expect(known, JSON.stringify(match)).toBe(true);
    }
  });

  it('closes the listeners before loopback is opened', () => {
    const rules = chainOf('filter-output', 4);
    const closed = rules.findIndex((rule) => rule.action.do === 'drop' && rule.match.destinationPort === 1001);
    const opened = rules.findIndex((rule) => rule.action.do === 'accept' && rule.match.destination === '127.0.0.0/8');
    expect(closed).toBeGreaterThanOrEqual(0);
    expect(closed).toBeLessThan(opened);
    expect(rules[closed]?.match.notMark).toBe(MARKS.ours);
  });

  it('marks for delivery only what the application sends, never an answer', () => {
    const marking = planRules(plan).filter((rule) => rule.action.do === 'mark');
    expect(marking).toHaveLength(4);
    for (const rule of marking) expect(rule.match.direction).toBe('original');
  });
});

/** Runs the tool in a network namespace of its own; a machine without the tool or without the right says so. */
function dryRun(tool: string, args: readonly string[], input: string): string {
  const own = process.getuid?.() === 0 ? [] : ['--user', '--map-root-user'];
  const result = spawnSync('unshare', [...own, '--net', tool, ...args], {
    input,
    encoding: 'utf8',
    env: { PATH: '/usr/sbin:/sbin:/usr/bin:/bin' },
  });
  return `${result.status ?? 'none'} ${result.stderr}`.trim();
}

function has(tool: string): boolean {
  return spawnSync('sh', ['-c', `PATH=$PATH:/usr/sbin:/sbin command -v ${tool}`]).status === 0;
}

describe('the kernel takes the rules', () => {
  it.skipIf(!has('nft'))('by nft', () => {
    expect(dryRun('nft', ['-f', '-'], renderNft(plan))).toBe('0');
  });

  it.skipIf(!has('iptables-restore'))('by iptables', () => {
    expect(dryRun('iptables-restore', [], renderIptables(plan, 4))).toBe('0');
    expect(dryRun('ip6tables-restore', [], renderIptables(plan, 6))).toBe('0');
  });
});
