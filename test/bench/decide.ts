/**
 * What one decision costs at 10, 1,000 and 10,000 rules for http, tls and tcp, by name, by wildcard and by range.
 * Prints nanoseconds a decision; `node test/bench/decide.ts`. Half of the accesses are allowed.
 */
import { fileURLToPath } from 'node:url';
import type { Policy, Rule } from '../../src/api/policy.ts';
import { NO_OPERATION, NO_TAGS, type Access } from '../../src/model/access.ts';
import { ipv4FromBits } from '../../src/platform/pure/address.ts';
import { compileSnapshot, type Snapshot } from '../../src/policy/compile.ts';
import { decide } from '../../src/policy/decide.ts';

const SIZES = [10, 1_000, 10_000];
const RULES_PER_POLICY = 1_000;
const ROUNDS = 7;
const DECISIONS_PER_ROUND = 100_000;
const ACCESSES = 256;

export function measureDecide(): readonly { rules: number; ns: number }[] {
  const cases = SIZES.map((rules) => ({
    rules,
    snapshot: snapshotOf(rules),
    accesses: accessesFor(rules),
    times: [] as number[],
  }));
  // the first round warms up, and the sizes take turns: a busy moment of the machine meets all of them
  for (let round = 0; round <= ROUNDS; round += 1) {
    for (const { snapshot, accesses, times } of cases) {
      const ns = timeRound(snapshot, accesses);
      if (round > 0) times.push(ns);
    }
  }
  return cases.map(({ rules, times }) => ({ rules, ns: times.sort((a, b) => a - b)[Math.floor(ROUNDS / 2)] ?? 0 }));
}

function timeRound(snapshot: Snapshot, accesses: readonly Access[]): number {
  let allowed = 0;
  const start = process.hrtime.bigint();
  for (let done = 0; done < DECISIONS_PER_ROUND; done += accesses.length) {
    for (const access of accesses) if (decide(snapshot, access).permit !== undefined) allowed += 1;
  }
  const spent = Number(process.hrtime.bigint() - start);
  const made = Math.ceil(DECISIONS_PER_ROUND / accesses.length) * accesses.length;
  if (allowed !== made / 2) throw new Error(`${allowed} of ${made} were allowed, not half`);
  return spent / made;
}

/** One rule in ten denies. A policy holds no more rules than validation admits. */
function snapshotOf(count: number): Snapshot {
  const policies: Policy[] = [];
  for (let first = 0; first < count; first += RULES_PER_POLICY) {
    const rules = Array.from({ length: Math.min(RULES_PER_POLICY, count - first) }, (_, index) =>
      ruleAt(first + index),
    );
    policies.push({
      apiVersion: 'sallyport.dev/v1alpha1',
      kind: 'SecurityPolicy',
      metadata: { name: `p${first}`, namespace: 'bench' },
      spec: {
        podSelector: {},
        onViolation: 'Block',
        default: 'Deny',
        allow: rules.filter((_, index) => index % 10 !== 9),
        deny: rules.filter((_, index) => index % 10 === 9),
      },
    });
  }
  return compileSnapshot({ policies, installDefault: 'Block' });
}

/** In every ten: five for http (one denies), three for tls, two for tcp. */
function ruleAt(index: number): Rule {
  switch (index % 10) {
    case 0:
    case 1:
    case 2:
      return { http: { hosts: [`api-${index}.test`], paths: ['/v1/**'], methods: ['GET', 'POST'] } };
    case 3:
      return { http: { hosts: [`*.web-${index}.test`], operations: ['Read'], ports: [80] } };
    case 4:
    case 5:
      return { tls: { hosts: [`host-${index}.test`], ports: [443] } };
    case 6:
      return { tls: { hosts: [`**.cdn-${index}.test`] } };
    case 7:
      return { tcp: { cidrs: [`${networkAt(index)}/24`], ports: [5432, '8000-8100'] } };
    case 8:
      return { tcp: { hosts: [`db-${index}.test`], ports: [5432] } };
    default:
      return { http: { hosts: [`bad-${index}.test`] } };
  }
}

function networkAt(index: number): string {
  return ipv4FromBits(0x0a000000 + index * 256).text;
}

/** Pairs of which the first is allowed and the second is not, spread over the rules. */
function accessesFor(count: number): readonly Access[] {
  const tens = count / 10;
  return Array.from({ length: ACCESSES / 2 }, (_, index) => pairAt(((index * 37) % tens) * 10, index)).flat();
}

function pairAt(ten: number, index: number): readonly [Access, Access] {
  const request = (name: string, path: string): Access => ({
    class: 'http',
    tags: { 'http.method': 'GET', 'http.host': name, 'http.path': path },
    operation: { name: 'GET', type: 'Read' },
    destination: { address: ipv4FromBits(0xc0000207), port: 80, requestedName: name, names: [name] },
    doubt: undefined,
  });
  const hello = (name: string): Access => ({
    class: 'tls',
    tags: { 'tls.sni': name },
    operation: NO_OPERATION,
    destination: { address: ipv4FromBits(0xc0000207), port: 443, requestedName: name, names: [name] },
    doubt: 'not-inspected',
  });
  const plain = (bits: number): Access => ({
    class: 'tcp',
    tags: NO_TAGS,
    operation: NO_OPERATION,
    destination: { address: ipv4FromBits(bits), port: 5432, requestedName: undefined, names: [] },
    doubt: undefined,
  });
  switch (index % 5) {
    case 0:
      return [request(`api-${ten}.test`, '/v1/items'), request(`api-${ten}.test`, '/v2/items')];
    case 1:
      return [request(`www.web-${ten + 3}.test`, '/'), request(`bad-${ten + 9}.test`, '/')];
    case 2:
      return [hello(`host-${ten + 4}.test`), hello(`other-${ten}.test`)];
    case 3:
      return [hello(`a.b.cdn-${ten + 6}.test`), hello(`cdn-${ten + 6}.test`)];
    default:
      return [plain(0x0a000000 + (ten + 7) * 256 + 9), plain(0x0b000000 + ten)];
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const { rules, ns } of measureDecide()) console.log(`${rules} rules: ${Math.round(ns)} ns a decision`);
}
