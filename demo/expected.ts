/** What the demonstration shows: each attempt of the workload, what must come of it, and what the origin may have seen of it. */

export interface Attempt {
  readonly id: string;
  readonly title: string;
  readonly verdict: 'allowed' | 'denied';
  /** How the record of it is recognised. */
  readonly record: { readonly class: string; readonly to: string; readonly operation?: string };
}

export const ADDRESSES = {
  shop: '198.18.0.10',
  shop6: '2001:2::10',
  pay: '198.18.0.20',
  cache: '198.18.0.30',
  resolver: '198.18.0.53',
  attacker: '198.18.0.66',
  attacker6: '2001:2::66',
} as const;

/** The secret that the compromised part of the workload tries to get out, in whatever way. */
export const SECRET = 'c2VjcmV0LW9yZGVycw';

export const ATTEMPTS: readonly Attempt[] = [
  {
    id: 'get',
    title: 'GET http://api.shop.test/v1/orders',
    verdict: 'allowed',
    record: { class: 'http', to: 'api.shop.test', operation: 'GET' },
  },
  {
    id: 'get-ipv6',
    title: 'the same over IPv6',
    verdict: 'allowed',
    record: { class: 'http', to: 'api.shop.test', operation: 'GET' },
  },
  {
    id: 'post',
    title: 'POST to the same URL',
    verdict: 'denied',
    record: { class: 'http', to: 'api.shop.test', operation: 'POST' },
  },
  {
    id: 'keep-alive',
    title: 'on one kept-alive connection: GET, then a GET for paste.test',
    verdict: 'denied',
    record: { class: 'http', to: 'paste.test', operation: 'GET' },
  },
  {
    id: 'after-denial',
    title: 'and then an allowed GET on that connection again',
    verdict: 'allowed',
    record: { class: 'http', to: 'api.shop.test', operation: 'GET' },
  },
  { id: 'tls', title: 'TLS to eu.pay.test', verdict: 'allowed', record: { class: 'tls', to: 'eu.pay.test' } },
  {
    id: 'tls-attacker',
    title: 'TLS to the attacker’s address under a name nobody allowed',
    verdict: 'denied',
    record: { class: 'tls', to: 'drop.test' },
  },
  {
    id: 'cache',
    title: 'TCP to the cache, which speaks first',
    verdict: 'allowed',
    record: { class: 'tcp', to: ADDRESSES.cache },
  },
  { id: 'raw', title: 'TCP to a raw address', verdict: 'denied', record: { class: 'tcp', to: ADDRESSES.attacker } },
  {
    id: 'raw-ipv6',
    title: 'TCP to a raw IPv6 address',
    verdict: 'denied',
    record: { class: 'tcp', to: ADDRESSES.attacker6 },
  },
  { id: 'udp', title: 'UDP to a raw address', verdict: 'denied', record: { class: 'udp', to: ADDRESSES.attacker } },
  {
    id: 'dns',
    title: 'DNS query that carries a secret',
    verdict: 'denied',
    record: { class: 'dns', to: `${SECRET.toLowerCase()}.drop.test` },
  },
  {
    id: 'dns-attacker',
    title: 'the same query sent to the attacker’s own DNS server',
    verdict: 'denied',
    record: { class: 'dns', to: `${SECRET.toLowerCase()}.drop.test` },
  },
];
