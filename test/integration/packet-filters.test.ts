/** The same box whatever the machine has to write the rules with: nft alone, or iptables alone. */
import { describe, expect, it } from 'vitest';
import { runOnce, USERS } from './box.ts';
import { findProgram } from './machine.ts';
import { ADDRESSES, PORTS } from './network.ts';
import { countArrivals, useNetwork } from './suite.ts';

const { origin, attacker } = ADDRESSES;
const POLICY = `
default: Deny
allow:
- tcp: {cidrs: ["${origin[4]}", "${origin[6]}"], ports: [${PORTS.echo}]}
- udp: {cidrs: ["${origin[4]}", "${origin[6]}"], ports: [${PORTS.udp}]}
`;
const IPTABLES = ['iptables', 'ip6tables', 'iptables-nft', 'ip6tables-nft', 'iptables-legacy', 'ip6tables-legacy', 'iptables-restore', 'ip6tables-restore', 'iptables-nft-restore', 'ip6tables-nft-restore', 'iptables-legacy-restore', 'ip6tables-legacy-restore']; // prettier-ignore

const PROBE = `
import socket
def exchange(type_, address, port):
    with socket.socket(socket.AF_INET6 if ':' in address else socket.AF_INET, type_) as s:
        s.settimeout(3)
        try:
            s.connect((address, port)); s.send(b'\\1probe\\n')
            return s.recv(99) == b'\\1probe\\n'
        except OSError: return False
for address in ('${origin[4]}', '${origin[6]}', '${attacker[4]}', '${attacker[6]}'):
    print(exchange(socket.SOCK_STREAM, address, ${PORTS.echo}), exchange(socket.SOCK_DGRAM, address, ${PORTS.udp}), exchange(socket.SOCK_STREAM, address, ${PORTS.echoOther}))
try: socket.socket(socket.AF_INET, socket.SOCK_DGRAM, 136).sendto(b'lite', ('${attacker[4]}', 9))
except OSError: pass
`;

/** Says first which of the two the box has. */
const FOUND = 'for name in nft iptables; do command -v $name >/dev/null && echo $name; done; exec python3 -c "$0"';

const network = useNetwork();

/** A wrapper in whose mount namespace these programs are not there; our own user id comes after it. */
function without(programs: readonly string[]): readonly string[] {
  const paths = programs.map((name) => findProgram(name)).filter((path) => path !== undefined);
  const hide = paths.map((path) => `mount --bind /dev/null ${path};`).join(' ');
  return ['unshare', '--mount', '--propagation', 'private', 'sh', '-c', `${hide} exec "$@"`, 'sh'];
}

describe.each([
  ['nft', 'nft', IPTABLES],
  ['iptables', 'iptables', ['nft']],
] as const)('with %s alone', (_, needed, hidden) => {
  it.each(USERS)('as %s: both families, both protocols', async (user) => {
    expect(findProgram(needed)).toBeDefined();
    const arrived = await Promise.all(
      [attacker[4], attacker[6]].flatMap((address) => ['tcp', 'udp'].map((protocol) => countArrivals(network(), `${address} ${protocol} ${PORTS.echo}`))),
    );
    const { stdout, stderr, records } = await runOnce(network(), ['sh', '-c', FOUND, PROBE], { user, policy: POLICY, outside: without(hidden), args: ['--summary', 'never'] });
    expect(stderr).toBe('');
    expect(stdout.trim().split('\n')).toEqual([needed, 'True True False', 'True True False', 'False False False', 'False False False']);
    expect(records.filter(({ verdict }) => verdict === 'allowed')).toHaveLength(4);
    expect(records.filter(({ verdict, reason }) => verdict === 'denied' && reason !== 'not-carried')).toHaveLength(8);
    for (const count of arrived) expect(await count()).toBe(0);
    expect([...(await network().packets()).keys()].filter((where) => !/ (tcp|udp) \d+$/.test(where))).toEqual([]);
  }); // prettier-ignore
});
