/**
 * The DNS proxy with everything around it in this process. Names under `allowed.test` are allowed, the metadata address is
 * nobody's. Throws at once when something is asked upstream that may not be, or an address is bound that may not be.
 */
import type { Permit } from '../../src/model/verdict.ts';
import { createBindings, type Bindings } from '../../src/engine/bindings.ts';
import type { DnsClient } from '../../src/engine/intercept/dns/client.ts';
import { createDnsProxy, type DnsProxy } from '../../src/engine/intercept/dns/proxy.ts';
import type { Judge } from '../../src/engine/judge.ts';
import { parseAddress, type Address } from '../../src/platform/pure/address.ts';

export function addressOf(text: string): Address {
  const address = parseAddress(text);
  if (address === undefined) throw new Error(`${text} is no address`);
  return address;
}

export const ADDRESSED = { address: addressOf('192.0.2.53'), port: 53 };
export const FORBIDDEN_ADDRESS = '169.254.169.254';

export interface DnsStage {
  readonly proxy: DnsProxy;
  readonly bindings: Bindings;
  /** `name type` of each query that went upstream. */
  readonly asked: string[];
}

export function createDnsStage(client: DnsClient): DnsStage {
  const asked: string[] = [];
  const judge: Judge = (original, _dialled, act) => {
    const access = { ...act, destination: { ...original, requestedName: undefined, names: [] } };
    return isAllowed(act.tags['dns.name'] ?? '')
      ? { effect: 'allow', permit: Object.freeze({}) as Permit, access }
      : { effect: 'deny', id: 'run-1', reason: 'no-rule', remedy: 'Add a rule.', access };
  };
  // few: thousands of stages are made
  const known = createBindings(Date.now, { names: 16, addressesPerName: 16, pairs: 64 });
  const bindings: Bindings = {
    ...known,
    bind(name, addresses, ttlSeconds) {
      if (addresses.some(({ text }) => text === FORBIDDEN_ADDRESS)) throw new Error('bound the forbidden address');
      known.bind(name, addresses, ttlSeconds);
    },
  };
  const proxy = createDnsProxy({
    client: {
      ask(name, type) {
        asked.push(`${name} ${type}`);
        return client.ask(name, type);
      },
    },
    bindings,
    judge,
    mayAnswer: (_name, { text }) => text !== FORBIDDEN_ADDRESS,
    virtualHosts: new Map(),
    searchDomains: ['corp.example'],
    count: () => undefined,
  });
  return { proxy, bindings, asked };
}

/** In the canonical form only: a name that the proxy says differently is a finding. */
export function isAllowed(name: string): boolean {
  return /^(?:[a-z0-9_-]+\.)*allowed\.test$/.test(name);
}
