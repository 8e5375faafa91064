/** Every way around the redirect that a process of the box could try: other protocols, other sockets, other identities. */
import { describe, expect, it } from 'vitest';
import { runOnce, USERS } from './box.ts';
import { ADDRESSES, PORTS } from './network.ts';
import { capture, start, until } from './processes.ts';
import { countArrivals, useBox, useNetwork } from './suite.ts';

const { origin, attacker, metadata, private: privately } = ADDRESSES;

const POLICY = `
default: Deny
allow:
- tcp: {hosts: [allowed.test], ports: [${PORTS.echo}]}
- tcp: {hosts: [host.sallyport.internal], ports: [7001]}
- udp: {hosts: [allowed.test], ports: [${PORTS.udp}]}
`;

const network = useNetwork();

describe.each(USERS)('as %s', (user) => {
  const box = useBox(network, { user, policy: POLICY });
  const others = async (): Promise<readonly string[]> =>
    [...(await network().packets()).keys()].filter((where) => !/ (tcp|udp) \d+$/.test(where));

  describe('protocols that are not carried', () => {
    it.each([
      ['ICMP by a datagram socket', 'AF_INET', 'SOCK_DGRAM', 1, attacker[4], `b'\\x08\\0' + bytes(30)`],
      ['ICMPv6 by a datagram socket', 'AF_INET6', 'SOCK_DGRAM', 58, attacker[6], `b'\\x80\\0' + bytes(30)`],
      ['UDP-Lite', 'AF_INET', 'SOCK_DGRAM', 136, attacker[4], `b'lite'`],
      ['UDP-Lite', 'AF_INET6', 'SOCK_DGRAM', 136, attacker[6], `b'lite'`],
      ['SCTP', 'AF_INET', 'SOCK_SEQPACKET', 132, attacker[4], `b'sctp'`],
      ['DCCP', 'AF_INET', '6', 33, attacker[4], `b'dccp'`],
      ['raw ICMP', 'AF_INET', 'SOCK_RAW', 1, attacker[4], `b'\\x08\\0' + bytes(30)`],
      ['raw IP', 'AF_INET', 'SOCK_RAW', 255, attacker[4], `b'\\x45' + bytes(30)`],
      ['raw TCP', 'AF_INET6', 'SOCK_RAW', 6, attacker[6], `bytes(40)`],
      ['GRE', 'AF_INET', 'SOCK_RAW', 47, attacker[4], `bytes(40)`],
    ])('%s (%s): nothing arrives', async (_, family, type, protocol, address, payload) => {
      const said = await box().python(`
def act():
    with socket.socket(socket.${family}, ${/^\d/.test(type) ? type : `socket.${type}`}, ${protocol}) as s:
        s.settimeout(1)
        s.connect(('${address}', ${PORTS.echo}))
        s.send(${payload})
print(attempt(act))
`);
      expect(said).toMatch(/^(ok|E[A-Z]+|TimeoutError)$/);
      if (type === 'SOCK_RAW') expect(said).toBe('EPERM');
      expect(await others()).toEqual([]);
    });

    it('are in the records where a packet of theirs was dropped', async () => {
      const opened = await box().python(`
def act():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM, 136) as s: s.sendto(b'lite', ('${attacker[4]}', 7))
print(attempt(act))
`);
      expect(opened).toMatch(/^(ok \d+|EPERM)$/);
      await box().record({ verdict: 'denied', reason: 'not-carried', destination: { address: attacker[4] } });
    });

    it.each([
      ['AF_VSOCK', 40, 'SOCK_STREAM'],
      ['AF_PACKET', 17, 'SOCK_RAW'],
      ['AF_ALG', 38, 'SOCK_SEQPACKET'],
      ['AF_BLUETOOTH', 31, 'SOCK_RAW'],
      ['AF_CAN', 29, 'SOCK_RAW'],
      ['AF_TIPC', 30, 'SOCK_DGRAM'],
      ['AF_RDS', 21, 'SOCK_SEQPACKET'],
      ['AF_SMC', 43, 'SOCK_STREAM'],
      ['AF_XDP', 44, 'SOCK_RAW'],
    ])('%s: the family is refused', async (_, family, type) => {
      expect(await box().python(`print(attempt(lambda: socket.socket(${family}, socket.${type}, 0)))`)).toBe('EAFNOSUPPORT');
    }); // prettier-ignore

    it('io_uring, which opens sockets where no filter looks, is refused', async () => {
      expect(await box().python(`print(syscall(425, 8, ctypes.create_string_buffer(256)))`)).toBe('ENOSYS');
    });
  });

  describe('TCP by another way', () => {
    const dialWith = (options: string, address: string, port: number): string => `
def act():
    with socket.socket(socket.AF_INET${address.includes(':') ? '6' : ''}, socket.SOCK_STREAM${options.includes('protocol') ? ', 262' : ''}) as s:
        s.settimeout(2)
        ${options.includes('protocol') ? 'pass' : options}
        s.connect(('${address}', ${port}))
        s.send(b'\\1other way\\n')
        return s.recv(100)
print(attempt(act))
`; // prettier-ignore

    it.each([4, 6] as const)('MPTCP over IPv%s is judged like TCP', async (family) => {
      const arrived = await countArrivals(network(), `${attacker[family]} tcp ${PORTS.echo}`);
      expect(await box().python(dialWith('protocol', attacker[family], PORTS.echo))).not.toContain('other way');
      await box().run('getent ahosts allowed.test');
      expect(await box().python(dialWith('protocol', origin[family], PORTS.echo))).toContain('other way');
      expect(await arrived()).toBe(0);
    });

    it('data in the first packet does not leave with it', async () => {
      const arrived = await countArrivals(network(), `${attacker[4]} tcp ${PORTS.echo}`);
      await box().python(`
with socket.socket() as s:
    print(attempt(lambda: s.sendto(b'fast', 0x20000000, ('${attacker[4]}', ${PORTS.echo}))))
    s.settimeout(1)
    print(attempt(lambda: s.recv(9)))
`);
      await box().record({ verdict: 'denied', class: 'tcp', destination: { address: attacker[4], port: PORTS.echo } });
      expect(await arrived()).toBe(0);
    });

    it.each([
      ['SO_MARK', 's.setsockopt(socket.SOL_SOCKET, 36, 0x5a110001)', 'EPERM'],
      ['SO_MARK as of answers', 's.setsockopt(socket.SOL_SOCKET, 36, 0x5a110002)', 'EPERM'],
      ['IP_TRANSPARENT', 's.setsockopt(socket.SOL_IP, 19, 1)', 'EPERM'],
      ['SO_BINDTODEVICE', `s.setsockopt(socket.SOL_SOCKET, 25, b'lo')`, ''],
      ['a source route', `s.setsockopt(socket.SOL_IP, socket.IP_OPTIONS, b'\\x83\\7\\4' + socket.inet_aton('${attacker[4]}') + b'\\0')`, ''],
      ['IP_FREEBIND', `s.setsockopt(socket.SOL_IP, 15, 1); s.bind(('198.18.0.2', 0))`, ''],
    ])('%s on the socket makes no difference', async (_, option, error) => {
      const arrived = await countArrivals(network(), `${attacker[4]} tcp ${PORTS.echo}`);
      const said = await box().python(dialWith(option, attacker[4], PORTS.echo));
      expect(said).not.toContain('other way');
      if (error !== '') expect(said).toBe(error);
      expect(await arrived()).toBe(0);
    }); // prettier-ignore

    it.each([1, 22, 25, 853, 3128, 5432, 8443, 65535])('port %s is caught like any other', async (port) => {
      const where = [attacker[4], attacker[6]];
      const counters = await Promise.all(where.map((address) => countArrivals(network(), `${address} tcp ${port}`)));
      const list = where.map((address) => `'${address}'`).join(', ');
      await box().python(`for address in [${list}]: print(dial(address, ${port}, b'\\1\\n', timeout=1.5))`);
      expect(await Promise.all(counters.map((arrived) => arrived()))).toEqual([0, 0]);
    });

    it.each([
      ...Object.values(metadata),
      ...Object.values(privately),
      '169.254.170.2',
      '168.63.129.16',
      '100.100.100.200',
      '172.16.0.1',
      '192.168.0.1',
      '10.96.0.1',
      '198.18.0.1',
      '2001:2:0:1::1',
      '64:ff9b::a9fe:a9fe',
      '::ffff:169.254.169.254',
      '0.0.0.0',
    ])('no range is exempt: %s', async (address) => {
      const arrived = await countArrivals(network(), `${address.replace('::ffff:', '')} tcp 80`);
      const said = await box().python(
        `print(dial('${address}', 80, b'GET /latest/meta-data HTTP/1.1\\r\\nHost: ${address.includes(':') ? `[${address}]` : address}\\r\\n\\r\\n', timeout=3))`,
      );
      expect(said).not.toContain('arrived');
      if (address !== '0.0.0.0') {
        expect(said).toBe('ECONNRESET');
        await box().record({ verdict: 'denied', destination: { address: address.replace('::ffff:', ''), port: 80 } });
      }
      expect(await arrived()).toBe(0);
    }); // prettier-ignore
  });

  it('the first thing that a command does is judged', async () => {
    const arrived = await countArrivals(network(), `${attacker[4]} tcp ${PORTS.echo}`);
    const script = `import socket; s = socket.create_connection(('${attacker[4]}', ${PORTS.echo}), 3); s.send(b'\\1\\n'); print(s.recv(9))`;
    const args = ['--summary', 'never'];
    const { status, records } = await runOnce(network(), ['python3', '-c', script], { user, policy: POLICY, args });
    expect(status).toBe(1);
    expect(records).toEqual([expect.objectContaining({ verdict: 'denied', class: 'tcp' })]);
    expect(await arrived()).toBe(0);
  });

  describe('identities', () => {
    it.each([1, 13, 1000, 1337, 65534])('user %s is judged like any other', async (uid) => {
      const arrived = await countArrivals(network(), `${attacker[4]} tcp ${PORTS.echo}`);
      const said = await box().python(`
print(attempt(lambda: os.setgid(${uid})), attempt(lambda: os.setuid(${uid})))
print(dial('${attacker[4]}', ${PORTS.echo}, b'\\1identity\\n', timeout=2))
`);
      const [changed, answer] = said.split('\n');
      expect(changed).toMatch(user === 'root' ? /^ok ok$/ : /^(EPERM EPERM|EINVAL EINVAL)$/);
      expect(answer).not.toContain('identity');
      expect(await arrived()).toBe(0);
    });
  });

  describe('the firewall itself', () => {
    it.each([
      ['nft flush ruleset', /Operation not permitted/],
      ['nft list ruleset', /^$|Operation not permitted/],
      ['iptables -P OUTPUT ACCEPT', /Permission denied|not permitted|nf_tables/],
      ['ip rule del fwmark 0x5a110004', /not permitted/],
      ['ip route flush table 100', /not permitted|^$/],
      ['ip route replace default dev lo', /not permitted/],
      ['ip link set lo down', /not permitted/],
      ['ip link add type dummy', /not permitted/],
      ['ip addr add 198.18.0.9/24 dev lo', /not permitted/],
      ['ip tuntap add mode tun', /not permitted|No such|Permission/],
      ['conntrack -F', /not found|Operation failed/],
    ])('%s changes nothing', async (command, error) => {
      const { stdout, stderr } = await box().run(command);
      expect(stdout + stderr).toMatch(error);
      const arrived = await countArrivals(network(), `${attacker[4]} tcp ${PORTS.echo}`);
      expect(await box().python(`print(dial('${attacker[4]}', ${PORTS.echo}, b'\\1\\n', timeout=1.5))`)).not.toContain('ok b');
      expect(await arrived()).toBe(0);
    }); // prettier-ignore

    it('has ports that nobody of the box can connect to, send to or bind', async () => {
      const said = await box().python(`
import re
def listening(file):
    for line in open(file).read().split('\\n')[1:-1]:
        local, state = line.split()[1], line.split()[3]
        address, port = local.split(':')
        # what answers in another's name is bound to that
        if state in ('0A', '07') and address in ('0100007F', '00000000000000000000000001000000'): yield int(port, 16)
print(*(len(list(listening('/proc/net/' + table))) for table in ('tcp', 'tcp6', 'udp', 'udp6')))
def bind(family, type_, address, port):
    def act():
        with socket.socket(family, type_) as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            s.bind((address, port))
            if type_ == socket.SOCK_STREAM: s.listen()
    return attempt(act)
for family, own, any_, suffix in ((socket.AF_INET, '127.0.0.1', '0.0.0.0', ''), (socket.AF_INET6, '::1', '::', '6')):
    for port in listening('/proc/net/tcp' + suffix):
        print('connect', dial(own, port, b'x', timeout=0.5), dial('192.0.0.2', port, b'x', timeout=0.5))
        for address in (own, any_): print('bind', bind(family, socket.SOCK_STREAM, address, port))
    for port in listening('/proc/net/udp' + suffix):
        print('send', datagram(own, port, b'x', timeout=0.5))
        for address in (own, any_): print('bind', bind(family, socket.SOCK_DGRAM, address, port))
`);
      const taken = ['bind EADDRINUSE', 'bind EADDRINUSE'];
      // not even a handshake: dropped before a listener sees it
      const ofFamily = ['connect TimeoutError ECONNREFUSED', ...taken, 'send EPERM', ...taken];
      expect(said.split('\n')).toEqual(['1 1 1 1', ...ofFamily, ...ofFamily]);
      // and it still does its work
      await box().run('getent ahosts allowed.test');
      expect(await box().python(`print(dial('${origin[4]}', ${PORTS.echo}, b'\\1still\\n'))`)).toContain('still');
    });

    it('asks nothing from inside: no flow of its own is there to be taken over', async () => {
      await box().run('dig +short allowed.test');
      const { stdout } = await box().run(`ss -Haun; ss -Htan state established`);
      expect(stdout).not.toContain('198.18.53.1');
      const before = network().queries().length;
      const arrived = await countArrivals(network(), '198.18.53.1 udp 53');
      await box().python(`
for port in range(30000, 60000, 3000):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(('', port))
        s.sendto(b'\\x12\\x34\\1\\0\\0\\1\\0\\0\\0\\0\\0\\0\\6secret\\4test\\0\\0\\1\\0\\1', ('198.18.53.1', 53))
`);
      expect(network().queries()).toHaveLength(before);
      expect(await arrived()).toBe(0);
    });
  });

  describe('loopback', () => {
    it('is the box’s own: its servers are there for its programs', async () => {
      const said = await box().python(`
server = socket.create_server(('127.0.0.1', 0))
client = socket.create_connection(server.getsockname())
connection, _ = server.accept()
client.send(b'own'); print(connection.recv(9))
six = socket.create_server(('::1', 0), family=socket.AF_INET6)
client = socket.create_connection(six.getsockname()[:2])
print(attempt(lambda: socket.create_connection(('127.0.0.1', 9), 1)))
`);
      expect(said).toBe(`b'own'\nECONNREFUSED`);
    });

    it('of the host is reached by its own name, where a rule says so', async () => {
      const echo = `import socket,sys
s=socket.create_server(('127.0.0.1',int(sys.argv[1])))
while True:
    c,_=s.accept(); c.sendall(b'host loopback'); c.close()`;
      const servers = ['7001', '7002'].map((port) => start([...network().host.enter, 'python3', '-c', echo, port]));
      try {
        await until('servers on loopback', async () => {
          const listening = await capture([...network().host.enter, 'ss', '-Hltn']);
          return listening.includes(':7001 ') && listening.includes(':7002 ') ? true : undefined;
        });
        expect(await box().python(`print(dial('127.0.0.1', 7001))`)).toBe('ECONNREFUSED');
        expect(await box().python(`print(dial('host.sallyport.internal', 7001))`)).toContain('host loopback');
        expect(await box().python(`print(dial('host.sallyport.internal', 7002, b'\\1\\n'))`)).not.toContain('host loopback');
        await box().record({ verdict: 'denied', destination: { port: 7002 } });
      } finally {
        await Promise.all(servers.map((server) => server.close()));
      }
    }); // prettier-ignore
  });
});
