/** The DNS proxy between real clients (dig, the resolver in Node) and a real server (dnsmasq), over real sockets on loopback. */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import dgram from 'node:dgram';
import { Resolver } from 'node:dns/promises';
import { once } from 'node:events';
import net from 'node:net';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it, type TestContext } from 'vitest';
import { createDnsClient } from '../../src/engine/intercept/dns/client.ts';
import { openDnsConversation } from '../../src/engine/intercept/dns/proxy.ts';
import { findProgram } from '../integration/machine.ts';
import { ADDRESSED, addressOf, createDnsStage, FORBIDDEN_ADDRESS, type DnsStage } from './dns-stage.ts';

const LACK = ['dnsmasq', 'dig'].find((name) => findProgram(name) === undefined);
const BIG = Array.from({ length: 120 }, (_, index) => `198.18.1.${index + 1}`);
/** ALPN h2, a hint that is forbidden and one that is not, ECH. */
const HTTPS = '000100' + '00010003026832' + '00040008' + 'a9fea9fe' + 'c6120009' + '00050004' + 'ecececec';

const ZONE = [
  '--no-daemon',
  '--conf-file=/dev/null',
  '--no-resolv',
  '--no-hosts',
  '--listen-address=127.0.0.1',
  '--bind-interfaces',
  '--user=',
  '--pid-file=',
  '--log-queries',
  '--log-facility=-',
  '--edns-packet-max=1232',
  '--local=/test/',
  '--host-record=api.allowed.test,198.18.0.1,2001:2::1,300',
  '--host-record=edge.cdn.test,198.18.0.2,300',
  '--cname=www.allowed.test,edge.cdn.test,300',
  `--host-record=rebind.allowed.test,${FORBIDDEN_ADDRESS},300`,
  '--srv-host=_db._tcp.allowed.test,db.allowed.test,5432',
  '--txt-record=allowed.test,hello',
  `--dns-rr=svc.allowed.test,65,${HTTPS}`,
  ...BIG.map((address) => `--host-record=big.allowed.test,${address},300`),
];

let server: ChildProcess | undefined;
let serverLog = '';
let stage: DnsStage;
let port = 0;
const closers: (() => void)[] = [];

beforeAll(async () => {
  if (LACK !== undefined) return;
  const serverPort = await startServer();
  stage = createDnsStage(
    createDnsClient({
      resolvers: [{ address: addressOf('127.0.0.1'), port: serverPort }],
      openUdp: (family) => dgram.createSocket(family === 4 ? 'udp4' : 'udp6'),
      connectTcp: (to) => net.connect({ host: to.address.text, port: to.port }),
    }),
  );
  port = await startProxy();
});

afterAll(async () => {
  for (const close of closers) close();
  if (server?.exitCode !== null) return;
  server.kill();
  await once(server, 'exit');
});

async function startServer(): Promise<number> {
  const free = dgram.createSocket('udp4');
  free.bind(0, '127.0.0.1');
  await once(free, 'listening');
  const serverPort = free.address().port;
  free.close();
  await once(free, 'close');
  server = spawn(findProgram('dnsmasq') ?? 'dnsmasq', [...ZONE, `--port=${serverPort}`]);
  const { promise, resolve, reject } = Promise.withResolvers<undefined>();
  server.once('exit', () => {
    reject(new Error(`dnsmasq ended: ${serverLog}`));
  });
  server.stderr?.on('data', (text: Buffer) => {
    serverLog += text.toString();
    if (serverLog.includes('started')) resolve(undefined);
  });
  await promise;
  return serverPort;
}

/** The proxy on UDP and TCP of one port, as the engine has it on 53. */
async function startProxy(): Promise<number> {
  const tcp = net.createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => undefined);
    openDnsConversation(stage.proxy, ADDRESSED, socket);
  });
  tcp.listen(0, '127.0.0.1');
  await once(tcp, 'listening');
  const { port: bound } = tcp.address() as net.AddressInfo;
  const udp = dgram.createSocket('udp4');
  udp.on('message', (bytes, from) => {
    void stage.proxy.answer(bytes, 'udp', ADDRESSED).then((reply) => {
      if (reply !== undefined) udp.send(reply, from.port, from.address);
    });
  });
  udp.bind(bound, '127.0.0.1');
  await once(udp, 'listening');
  closers.push(
    () => tcp.close(),
    () => udp.close(),
  );
  return bound;
}

/** What dig prints. It fails by itself where it finds an answer malformed. */
async function dig(...words: readonly string[]): Promise<string> {
  const { stdout } = await promisify(execFile)('dig', ['@127.0.0.1', '-p', String(port), '+tries=1', ...words]);
  expect(stdout).not.toMatch(/malformed|mismatch|WARNING/i);
  return stdout;
}

/** Lines of the answer section, as `type data`. */
function answersIn(printed: string): string[] {
  return printed
    .split('\n')
    .filter((line) => /^[^;\s]/.test(line))
    .map((line) => line.split(/\s+/).slice(3).join(' '));
}

function skipWhereLacking(context: TestContext): void {
  if (LACK !== undefined) context.skip(`skipped, because ${LACK} is not installed`);
}

describe('between real clients and a real server', () => {
  it('dig gets addresses, and they are bound', async (context) => {
    skipWhereLacking(context);
    expect(answersIn(await dig('API.allowed.test', 'A'))).toEqual(['A 198.18.0.1']);
    expect(answersIn(await dig('api.allowed.test', 'AAAA', '+tcp'))).toEqual(['AAAA 2001:2::1']);
    expect(stage.bindings.namesOf(addressOf('2001:2::1'))).toEqual(['api.allowed.test']);
    expect(answersIn(await dig('-x', '198.18.0.1'))).toEqual(['PTR api.allowed.test.']);
  });

  it('dig gets the chain of an alias, and its end is bound to the name that was asked', async (context) => {
    skipWhereLacking(context);
    expect(answersIn(await dig('www.allowed.test'))).toEqual(['CNAME edge.cdn.test.', 'A 198.18.0.2']);
    expect(stage.bindings.namesOf(addressOf('198.18.0.2'))).toEqual(['www.allowed.test']);
  });

  it('dig gets SRV and TXT', async (context) => {
    skipWhereLacking(context);
    expect(answersIn(await dig('_db._tcp.allowed.test', 'SRV'))).toEqual(['SRV 0 0 5432 db.allowed.test.']);
    expect(answersIn(await dig('allowed.test', 'TXT'))).toEqual(['TXT "hello"']);
  });

  it('dig gets no ECH and no forbidden hint', async (context) => {
    skipWhereLacking(context);
    expect(answersIn(await dig('svc.allowed.test', 'TYPE65'))).toEqual([
      expect.stringMatching(/^HTTPS 1 \. alpn="?h2"? ipv4hint=198\.18\.0\.9$/),
    ]);
  });

  it('dig comes back over TCP for what does not fit, and so does the proxy', async (context) => {
    skipWhereLacking(context);
    const printed = await dig('big.allowed.test');
    expect(printed).toContain('Truncated, retrying in TCP mode');
    expect(answersIn(printed)).toHaveLength(BIG.length);
    expect(answersIn(await dig('big.allowed.test', '+bufsize=4096'))).toHaveLength(BIG.length);
  });

  it('a denied name is refused with the reason, and the server never hears of it', async (context) => {
    skipWhereLacking(context);
    const printed = await dig('c2VjcmV0.evil.test', 'TXT');
    expect(printed).toContain('status: REFUSED');
    expect(printed).toMatch(/EDE: 18 \(Prohibited\): \(run-1: Add a rule\.\)/);
    expect(await dig('c2VjcmV0.evil.test', '+noedns')).not.toContain('EDE');
    // what came later is there: what came before would be
    await dig('last.allowed.test');
    await expect.poll(() => serverLog).toContain('last.allowed.test');
    expect(serverLog).not.toMatch(/evil/i);
  });

  it('an address that the name may not have is no answer', async (context) => {
    skipWhereLacking(context);
    const printed = await dig('rebind.allowed.test');
    expect(printed).toContain('status: NXDOMAIN');
    expect(printed).not.toContain(`A\t${FORBIDDEN_ADDRESS}`);
    expect(stage.bindings.namesOf(addressOf(FORBIDDEN_ADDRESS))).toEqual([]);
  });

  it('dig with another class or opcode is told that it is no query', async (context) => {
    skipWhereLacking(context);
    expect(await dig('api.allowed.test', '-c', 'CH', '+noedns')).toContain('status: FORMERR');
    const printed = await dig('api.allowed.test', '+opcode=STATUS', '+noedns');
    expect(printed).toContain('opcode: STATUS, status: FORMERR');
  });

  it('the resolver in Node gets answers and codes that it understands', async (context) => {
    skipWhereLacking(context);
    const resolver = new Resolver({ tries: 1, timeout: 5_000 });
    resolver.setServers([`127.0.0.1:${port}`]);
    expect(await resolver.resolve4('api.allowed.test')).toEqual(['198.18.0.1']);
    expect(await resolver.resolve6('api.allowed.test')).toEqual(['2001:2::1']);
    expect((await resolver.resolve4('big.allowed.test')).sort()).toEqual([...BIG].sort());
    expect(await resolver.reverse('198.18.0.1')).toEqual(['api.allowed.test']);
    await expect(resolver.resolve4('evil.test')).rejects.toMatchObject({ code: 'EREFUSED' });
    await expect(resolver.resolve4('api.allowed.test.corp.example')).rejects.toMatchObject({ code: 'ENOTFOUND' });
    await expect(resolver.resolve4('nothing.allowed.test')).rejects.toMatchObject({ code: 'ENOTFOUND' });
    await expect(resolver.resolveMx('api.allowed.test')).rejects.toMatchObject({ code: 'ENODATA' });
  });
});
