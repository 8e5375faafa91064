/**
 * The packet filter of a network namespace as one model, and its two renderings: nft, and iptables-restore for either
 * backend. Input: where the listeners stand and which addresses are the namespace's own. Invariant: the last rules of
 * the filter accept what DESIGN §4 lists and nothing else; IPv6 has every rule that IPv4 has.
 *
 *   raw      our answers in another's name are not tracked: else a late one would make a new connection whose
 *            *reply* direction is the application's, and that direction may pass
 *   mangle   what the application sends and is not loopback is marked, routed to `lo` by that mark, and there handed
 *            to the listener (TPROXY): no address is translated
 *   filter   what is neither ours nor marked for the listener nor loopback is dropped
 */
import type { Cidr } from '../../platform/pure/address.ts';

export const MARKS = {
  /** On every socket of the firewall's own: SO_MARK needs NET_ADMIN or NET_RAW, which no judged process has. */
  ours: 0x5a110001,
  /** On the sockets that answer in the destination's name. */
  answer: 0x5a110002,
  /** Leads a packet of the application's to our listeners. */
  deliver: 0x5a110004,
} as const;

export const DELIVER_TABLE = 100;
/** netlink log group of dropped packets, so that they can be reported */
export const DROP_LOG_GROUP = 5;

export interface InterceptPlan {
  readonly families: readonly (4 | 6)[];
  /** Listeners on 127.0.0.1 and ::1; the port of a family serves TCP and UDP apart. */
  readonly ports: Readonly<Record<4 | 6, { readonly tcp: number; readonly udp: number }>>;
  /** Addresses of the namespace beside loopback. */
  readonly ownAddresses: readonly Cidr[];
}

type Protocol = 'tcp' | 'udp' | 'icmpv6';
type Chain = 'raw-output' | 'mangle-output' | 'mangle-prerouting' | 'filter-output';

interface Match {
  readonly mark?: number;
  readonly notMark?: number;
  readonly protocol?: Protocol;
  readonly destination?: string;
  readonly destinationPort?: number;
  readonly direction?: 'original' | 'reply';
  readonly established?: true;
  readonly icmpType?: number;
}

type Action =
  | { readonly do: 'accept' | 'drop' | 'return' | 'notrack' }
  | { readonly do: 'mark'; readonly mark: number }
  | { readonly do: 'deliver'; readonly port: number }
  | { readonly do: 'log'; readonly group: number };

export interface FilterRule {
  readonly chain: Chain;
  readonly family: 4 | 6;
  readonly match: Match;
  readonly action: Action;
}

const LOOPBACK = { 4: '127.0.0.0/8', 6: '::1/128' } as const;
const LISTENER = { 4: '127.0.0.1/32', 6: '::1/128' } as const;
// neighbour discovery and multicast listener discovery: IPv6 dies without them
const NEIGHBOUR_TYPES = [133, 134, 135, 136, 130, 131, 132, 143];

/** Every rule, in order. */
export function planRules(plan: InterceptPlan): readonly FilterRule[] {
  return plan.families.flatMap((family) => rulesOfFamily(plan, family));
}

function rulesOfFamily(plan: InterceptPlan, family: 4 | 6): FilterRule[] {
  const rules: FilterRule[] = [];
  const add = (chain: Chain, match: Match, action: Action): void => {
    rules.push({ chain, family, match, action });
  };
  const own = [
    LOOPBACK[family],
    ...plan.ownAddresses.filter((cidr) => cidr.address.family === family).map((cidr) => cidr.text),
  ];
  const transports = ['tcp', 'udp'] as const;

  add('raw-output', { mark: MARKS.answer, protocol: 'udp' }, { do: 'notrack' });

  for (const mark of [MARKS.ours, MARKS.answer]) add('mangle-output', { mark }, { do: 'return' });
  for (const destination of own) add('mangle-output', { destination }, { do: 'return' });
  for (const protocol of transports) {
    add('mangle-output', { protocol, direction: 'original' }, { do: 'mark', mark: MARKS.deliver });
    add('mangle-prerouting', { protocol, mark: MARKS.deliver }, { do: 'deliver', port: plan.ports[family][protocol] });
  }

  // the listeners stand on loopback, which is the application's to use: only TPROXY may lead to them
  for (const protocol of transports) {
    const destinationPort = plan.ports[family][protocol];
    add(
      'filter-output',
      { notMark: MARKS.ours, protocol, destination: LISTENER[family], destinationPort },
      { do: 'drop' },
    );
  }
  add('filter-output', { mark: MARKS.ours }, { do: 'accept' });
  add('filter-output', { mark: MARKS.answer }, { do: 'accept' });
  for (const protocol of transports) add('filter-output', { mark: MARKS.deliver, protocol }, { do: 'accept' });
  // plain ESTABLISHED would let an application ride the entry of one of our own queries
  add('filter-output', { established: true, direction: 'reply' }, { do: 'accept' });
  for (const destination of own) add('filter-output', { destination }, { do: 'accept' });
  if (family === 6) {
    for (const icmpType of NEIGHBOUR_TYPES) {
      add('filter-output', { protocol: 'icmpv6', icmpType }, { do: 'accept' });
    }
  }
  add('filter-output', {}, { do: 'log', group: DROP_LOG_GROUP });
  add('filter-output', {}, { do: 'drop' });
  return rules;
}

// ── nft ──────────────────────────────────────────────────────────────────────────────────────────────────────────

const NFT_CHAINS: Readonly<Record<Chain, string>> = {
  // first, so that nothing leaves between two chains
  'filter-output': 'type filter hook output priority filter; policy drop;',
  'raw-output': 'type filter hook output priority raw; policy accept;',
  'mangle-output': 'type route hook output priority mangle; policy accept;',
  'mangle-prerouting': 'type filter hook prerouting priority mangle; policy accept;',
};

/** One transaction for `nft -f -`: replaces what stood there before. */
export function renderNft(plan: InterceptPlan): string {
  const rules = planRules(plan);
  const chains = Object.entries(NFT_CHAINS).map(([chain, head]) => {
    const lines = rules.filter((rule) => rule.chain === chain).map((rule) => `    ${nftRule(rule)}`);
    return [`  chain ${chain} {`, `    ${head}`, ...lines, '  }'].join('\n');
  });
  return ['table inet sallyport', 'delete table inet sallyport', 'table inet sallyport {', ...chains, '}', ''].join(
    '\n',
  );
}

function nftRule({ family, match, action }: FilterRule): string {
  const ip = family === 4 ? 'ip' : 'ip6';
  const words = [`meta nfproto ipv${family}`];
  if (match.mark !== undefined) words.push(`meta mark ${match.mark}`);
  if (match.notMark !== undefined) words.push(`meta mark != ${match.notMark}`);
  if (match.destination !== undefined) words.push(`${ip} daddr ${match.destination}`);
  if (match.protocol !== undefined)
    words.push(`meta l4proto ${match.protocol === 'icmpv6' ? 'ipv6-icmp' : match.protocol}`);
  if (match.destinationPort !== undefined) words.push(`th dport ${match.destinationPort}`);
  if (match.icmpType !== undefined) words.push(`icmpv6 type ${match.icmpType}`);
  if (match.established) words.push('ct state established');
  if (match.direction !== undefined) words.push(`ct direction ${match.direction}`);
  switch (action.do) {
    case 'mark':
      words.push(`meta mark set ${action.mark}`);
      break;
    case 'deliver':
      words.push(family === 4 ? `tproxy ip to 127.0.0.1:${action.port}` : `tproxy ip6 to [::1]:${action.port}`);
      break;
    case 'log':
      words.push(`limit rate 50/second log group ${action.group}`);
      break;
    case 'accept':
    case 'drop':
    case 'return':
    case 'notrack':
      words.push(action.do);
      break;
    default:
      return action satisfies never;
  }
  return words.join(' ');
}

// ── iptables ─────────────────────────────────────────────────────────────────────────────────────────────────────

const IPTABLES_CHAINS: Readonly<Record<Chain, { readonly table: string; readonly chain: string }>> = {
  'filter-output': { table: 'filter', chain: 'OUTPUT' },
  'raw-output': { table: 'raw', chain: 'OUTPUT' },
  'mangle-output': { table: 'mangle', chain: 'OUTPUT' },
  'mangle-prerouting': { table: 'mangle', chain: 'PREROUTING' },
};

/** Input of `iptables-restore` (or `ip6tables-restore`): whole tables, each replaced at one stroke. */
export function renderIptables(plan: InterceptPlan, family: 4 | 6): string {
  const rules = planRules(plan).filter((rule) => rule.family === family);
  return ['filter', 'raw', 'mangle']
    .map((table) => {
      const lines = rules
        .filter((rule) => IPTABLES_CHAINS[rule.chain].table === table)
        .map((rule) => `-A ${IPTABLES_CHAINS[rule.chain].chain} ${iptablesRule(rule)}`);
      const heads = table === 'filter' ? [':OUTPUT DROP [0:0]', ':FORWARD DROP [0:0]'] : [];
      return [`*${table}`, ...heads, ...lines, 'COMMIT', ''].join('\n');
    })
    .join('');
}

function iptablesRule({ family, match, action }: FilterRule): string {
  const words: string[] = [];
  if (match.destination !== undefined) words.push('-d', match.destination);
  if (match.protocol !== undefined) words.push('-p', match.protocol === 'icmpv6' ? 'ipv6-icmp' : match.protocol);
  if (match.destinationPort !== undefined) words.push('--dport', String(match.destinationPort));
  if (match.icmpType !== undefined) words.push('--icmpv6-type', String(match.icmpType));
  if (match.mark !== undefined) words.push('-m mark --mark', hex(match.mark));
  if (match.notMark !== undefined) words.push('-m mark ! --mark', hex(match.notMark));
  if (match.established || match.direction !== undefined) words.push('-m conntrack');
  if (match.established) words.push('--ctstate ESTABLISHED');
  if (match.direction !== undefined) words.push('--ctdir', match.direction.toUpperCase());
  switch (action.do) {
    case 'mark':
      words.push('-j MARK --set-mark', hex(action.mark));
      break;
    case 'deliver':
      words.push(`-j TPROXY --on-ip ${family === 4 ? '127.0.0.1' : '::1'} --on-port ${action.port}`);
      break;
    case 'log':
      words.push(`-m limit --limit 50/second -j NFLOG --nflog-group ${action.group}`);
      break;
    case 'notrack':
      words.push('-j CT --notrack');
      break;
    case 'accept':
    case 'drop':
    case 'return':
      words.push('-j', action.do.toUpperCase());
      break;
    default:
      return action satisfies never;
  }
  return words.join(' ');
}

function hex(mark: number): string {
  return `0x${mark.toString(16)}`;
}
