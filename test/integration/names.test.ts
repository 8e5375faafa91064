/** Names and addresses as text: every spelling of one thing is that thing, and what is no spelling of it is not. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import type { Box } from './box.ts';
import { lackForNetwork } from './machine.ts';
import { ADDRESSES, PORTS } from './network.ts';
import { countArrivals, useBox, useNetwork } from './suite.ts';

const { origin, denied, attacker } = ADDRESSES;

const ALLOWLIST = `
default: Deny
allow:
- http: {hosts: ["*.sub.test"]}
- http: {hosts: ["**.wild.test"]}
- http: {hosts: ["bücher.test", "Four.TEST."]}
- tcp: {cidrs: ["${denied[4]}"], ports: [${PORTS.echo}]}
`;

const DENYLIST = `
default: Allow
deny:
- name: host
  http: {hosts: ["denied.test", "bücher.test"]}
- name: address
  tcp: {cidrs: ["${attacker[4]}/32", "${attacker[6]}/128"]}
`;

/** The Host field of a request, and what must become of it when it is sent to the origin's address. */
const ALLOWED_HOSTS = [
  'a.sub.test',
  'A.SUB.Test',
  'a.sub.test.',
  'a.sub.test:80',
  'x.wild.test',
  'y.x.wild.test',
  'xn--bcher-kva.test',
  'XN--BCHER-KVA.TEST',
  'four.test',
  'FOUR.test.:80',
];
const DENIED_HOSTS = ['sub.test', 'b.a.sub.test', 'wild.test', 'sub.test.a', 'xsub.test', 'a-sub.test', 'four.test..', '.four.test', 'four..test', 'four.test:080x', 'four.test:65616', 'four.test:81',
  '[four.test]', 'four%2etest', 'four.test%00', 'four.test/', 'four.test?', 'four.test#', 'four.test\\', 'a.sub.test@denied.test', 'denied.test@a.sub.test', 'denied.test:80@four.test', 'denied.test,four.test',
  'denied.test four.test', '\xc3\xbc.sub.test', 'four\xe3\x80\x82test', 'b\xc3\xbccher.test', '*.sub.test', '*', '', '198.18.10.1', '[::ffff:198.18.10.1]', '[2001:2:0:10::1]', '[::1%25lo]', '0xc6120a01', '3323071489',
  '0306.022.012.01', '198.18.2561', '127.1', 'localhost', 'host.sallyport.internal']; // prettier-ignore

const network = useNetwork();

/** One request a Host, each on a connection of its own; the statuses. */
async function ask(box: Box, address: string, hosts: readonly string[], path: string): Promise<readonly string[]> {
  const file = join(box.folder, 'hosts.json');
  writeFileSync(file, JSON.stringify(hosts));
  const said = await box.python(`
from concurrent.futures import ThreadPoolExecutor
def ask(host):
    request = 'GET ${path} HTTP/1.1\\r\\nHost: %s\\r\\nConnection: close\\r\\n\\r\\n' % host
    return dial('${address}', 80, request.encode('latin1'))
for answer in ThreadPoolExecutor(8).map(ask, json.load(open(sys.argv[1]))):
    print(answer[3:].split(' ')[1] if 'HTTP/1.1 ' in answer else answer)
`, file);
  return said.split('\n');
} // prettier-ignore

describe('an allowlist', () => {
  const box = useBox(network, { user: 'user', policy: ALLOWLIST });
  let allowed: readonly string[] = [];
  let refused: readonly string[] = [];
  beforeAll(async () => {
    if (lackForNetwork() !== undefined) return;
    allowed = await ask(box(), origin[4], ALLOWED_HOSTS, '/allowed');
    refused = await ask(box(), origin[4], DENIED_HOSTS, '/denied');
  });

  it.each(ALLOWED_HOSTS.map((host, index) => ({ host, index })))('has “$host”', ({ index }) => {
    expect(allowed[index]).toBe('200');
  });

  it.each(DENIED_HOSTS.map((host, index) => ({ host, index })))('has not “$host”', ({ index }) => {
    expect(refused[index]).toMatch(/^(400|403|421)$/);
  });

  it('has let through what it has, and no more', () => {
    const arrived = (target: string): number => network().http().filter((arrival) => arrival.target === target).length; // prettier-ignore
    expect(arrived('/allowed')).toBe(ALLOWED_HOSTS.length);
    expect(arrived('/denied')).toBe(0);
  });

  it.each([`::ffff:${denied[4]}`, denied[4]])('has the address %s', async (address) => {
    expect(await box().python(`print(dial('${address}', ${PORTS.echo}, b'\\1mapped\\n'))`)).toContain('mapped');
    await box().record({ verdict: 'allowed', class: 'tcp', destination: { address: denied[4], port: PORTS.echo } });
  });

  it.each([
    '198.18.66.1',
    '::ffff:198.18.66.1',
    '::ffff:c612:4201',
    '::198.18.66.1',
    '64:ff9b::c612:4201',
    '2002:c612:4201::1',
  ])('has not the address %s', async (address) => {
    const arrived = await countArrivals(network(), `tcp ${PORTS.echoOther}`);
    expect(await box().python(`print(dial('${address}', ${PORTS.echoOther}, b'\\1other\\n'))`)).not.toContain('other');
    expect(await arrived()).toBe(0);
  });

  it.each(['0xc6124201', '3323085313', '0306.022.0102.01', '198.18.16897', '198.1196545', '0xC6.0x12.0x42.0x1'])(
    'has not the address that programs read in http://%s/',
    async (text) => {
      const arrived = await countArrivals(network(), `${attacker[4]} tcp 80`);
      const { stdout } = await box().run(
        `curl -sS -m 5 http://${text}/; python3 -c "import urllib.request as u; print(u.urlopen('http://${text}/').read())"`,
      );
      expect(stdout).not.toContain('arrived at');
      expect(await arrived()).toBe(0);
    },
  );
});

describe('a denylist', () => {
  const box = useBox(network, { user: 'user', policy: DENYLIST });

  it('has every spelling of its hosts, and what cannot be read', async () => {
    const spellings = ['denied.test', 'DENIED.test', 'denied.test.', 'denied.test:80', 'xn--bcher-kva.test', 'XN--BCHER-kva.test.', 'b\xc3\xbccher.test', 'x@denied.test', 'denied.test,four.test', ''];
    expect((await ask(box(), denied[4], spellings, '/spelt')).filter((status) => !/^4\d\d$/.test(status))).toEqual([]);
    expect(network().http().filter(({ target }) => target === '/spelt')).toEqual([]);
    expect(await ask(box(), denied[4], ['four.test', 'not-denied.test'], '/others')).toEqual(['200', '200']);
  }); // prettier-ignore

  it.each([attacker[4], attacker[6], `::ffff:${attacker[4]}`, '::ffff:c612:4201'])('has its address as %s', async (address) => {
    const arrived = await countArrivals(network(), `tcp ${PORTS.echo}`);
    expect(await box().python(`print(dial('${address}', ${PORTS.echo}, b'\\1spelt\\n'))`)).not.toContain('spelt');
    await box().record({ verdict: 'denied', reason: 'deny-rule', rule: 'address' });
    expect(await arrived()).toBe(0);
  }); // prettier-ignore
});
