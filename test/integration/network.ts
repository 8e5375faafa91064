/**
 * The network of the tests: a "host", in which `sallyport run` is started, and an "internet" with real servers, joined
 * by a veth pair; IPv4 and IPv6, all from the ranges reserved for tests. Both namespaces live as long as the processes
 * that hold them: no name is left behind, whatever ends the run.
 *
 * What arrived is told by the servers' own logs and, for every address and port, by a counter of the internet's packets.
 */
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { makeCertificates, type Certificates } from './certificates.ts';
import { capture, start, until, type Running } from './processes.ts';

/** Addresses by role; every one of them is served by the same nginx and echo server, which log the address. */
export const ADDRESSES = {
  origin: { 4: '198.18.10.1', 6: '2001:2:0:10::1' },
  denied: { 4: '198.18.11.1', 6: '2001:2:0:11::1' },
  attacker: { 4: '198.18.66.1', 6: '2001:2:0:66::1' },
  metadata: { 4: '169.254.169.254', 6: 'fd00:ec2::254' },
  private: { 4: '10.9.9.9', 6: 'fd12:3456::9' },
} as const;
export const RESOLVER = { 4: '198.18.53.1', 6: '2001:2:0:53::1' } as const;
export const ATTACKER_RESOLVER = '198.18.67.1';

export const PORTS = {
  http: 80,
  httpOther: 8080,
  https: 443,
  echo: 9000,
  echoOther: 9001,
  banner: 9025,
  udp: 9000,
  udpOther: 9001,
} as const;

export interface Space {
  readonly pid: number;
  /** Prefix of an argv that runs in it. */
  readonly enter: readonly string[];
  /** The same for what must end with the space, whatever it does: servers that change their rights lose other bonds. */
  readonly contain: readonly string[];
}

export interface HttpArrival {
  readonly address: string;
  readonly port: number;
  readonly host: string;
  readonly method: string;
  readonly target: string;
  readonly serverName: string;
  readonly protocol: string;
  readonly status: number;
}

export interface EchoArrival {
  readonly protocol: 'tcp' | 'udp';
  readonly address: string;
  readonly port: number;
  readonly text: string;
}

export interface Network {
  readonly host: Space;
  readonly internet: Space;
  /** A folder that every user may enter. */
  readonly folder: string;
  readonly certificates: Certificates;
  readonly http: () => readonly HttpArrival[];
  readonly echo: () => readonly EchoArrival[];
  /** Names that the resolver was asked for. */
  readonly queries: () => readonly string[];
  readonly attackerQueries: () => readonly string[];
  /** Packets that reached the internet, by `address protocol port`; other protocols by their name. */
  readonly packets: () => Promise<ReadonlyMap<string, number>>;
  readonly close: () => Promise<void>;
}

/** Names of the servers' certificate. Clients do not accept `*.test`. */
const CERTIFIED = [
  ...['allowed', 'shared', 'denied', 'attacker', 'four', 'six', 'alias', 'detour', 'many', 'sub', 'rebind-mixed', 'xn--bcher-kva'],
].map((label) => `${label}.test`).concat(['*.sub.test', '*.a.sub.test', '*.wild.test', 'localhost']); // prettier-ignore

const ECH_CONFIG = '0045fe0d0041';

export async function openNetwork(): Promise<Network> {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-test-'));
  chmodSync(folder, 0o755);
  const running: Running[] = [];
  async function close(): Promise<void> {
    // the namespaces first: what runs in them ends with them, while who started it is there to see
    for (const each of running) await each.close();
    rmSync(folder, { recursive: true, force: true });
  }
  try {
    const [internet, host, certificates] = await Promise.all([
      openSpace(running),
      openSpace(running),
      makeCertificates(
        folder,
        CERTIFIED,
        Object.values(ADDRESSES).flatMap((pair) => [pair[4], pair[6]]),
      ),
    ]);
    await joinSpaces(internet, host);
    await countPackets(internet);
    await pointAtResolver(folder, host);
    await startServers(folder, internet, certificates, running);
    return {
      host,
      internet,
      folder,
      certificates,
      http: () => readLines(join(folder, 'http.jsonl')) as readonly HttpArrival[],
      echo: () => readLines(join(folder, 'echo.jsonl')) as readonly EchoArrival[],
      queries: () => readQueries(join(folder, 'dns.log')),
      attackerQueries: () => readQueries(join(folder, 'attacker-dns.log')),
      packets: () => readPackets(internet),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

// ── namespaces ───────────────────────────────────────────────────────────────────────────────────────────────────

async function openSpace(running: Running[]): Promise<Space> {
  const kinds = ['--net', '--mount', '--propagation', 'private', '--pid', '--fork', '--kill-child=SIGKILL'];
  const holder = start(['unshare', ...kinds, 'sleep', 'infinity'], { endedBy: 'SIGKILL' });
  running.push(holder);
  const { pid } = holder;
  const first = await until('namespaces', () => {
    if (holder.ended()) throw new Error(`cannot make a network namespace: ${holder.said()}`);
    const child = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
    return child === '' ? undefined : child;
  });
  const enter = ['nsenter', '--target', first, '--net', '--mount', '--wdns=/'];
  return { pid, enter, contain: [...enter, '--pid'] };
}

async function joinSpaces(internet: Space, host: Space): Promise<void> {
  const served = [...Object.values(ADDRESSES), RESOLVER, { 4: ATTACKER_RESOLVER }].flatMap((pair) =>
    Object.values(pair),
  );
  const many = Array.from({ length: MANY }, (_, index) => manyAddress(index));
  await capture([...internet.enter, 'ip', '-batch', '-'], {
    input: [
      'link set lo up',
      `link add eth0 type veth peer name eth0 netns ${host.pid}`,
      'addr add 198.18.0.1/24 dev eth0',
      'addr add 2001:2:0:1::1/64 dev eth0 nodad',
      'link set eth0 up',
      ...[...served, ...many].map((address) => `addr add ${address}${address.includes(':') ? '/128 nodad' : '/32'} dev lo`),
    ].join('\n'), // prettier-ignore
  });
  await capture([...host.enter, 'ip', '-batch', '-'], {
    input: [
      'link set lo up',
      'addr add 198.18.0.2/24 dev eth0',
      'addr add 2001:2:0:1::2/64 dev eth0 nodad',
      'link set eth0 up',
      'route add default via 198.18.0.1',
      'route add default via 2001:2:0:1::1',
    ].join('\n'),
  });
}

async function countPackets(internet: Space): Promise<void> {
  await capture([...internet.enter, 'nft', '-f', '-'], {
    input: `table inet arrivals {
      set four { type ipv4_addr . inet_proto . inet_service; flags dynamic; counter; size 65535; }
      set six { type ipv6_addr . inet_proto . inet_service; flags dynamic; counter; size 65535; }
      set others { type inet_proto; flags dynamic; counter; size 256; }
      chain input {
        type filter hook prerouting priority -500;
        iifname != eth0 return
        meta nfproto ipv4 meta l4proto { tcp, udp } update @four { ip daddr . meta l4proto . th dport } return
        meta nfproto ipv6 meta l4proto { tcp, udp } update @six { ip6 daddr . meta l4proto . th dport } return
        icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit, mld2-listener-report } return
        update @others { meta l4proto }
      }
    }`,
  });
}

interface SetElement {
  readonly elem: {
    readonly val: string | { readonly concat: readonly (string | number)[] };
    readonly counter: { readonly packets: number };
  };
}

async function readPackets(internet: Space): Promise<ReadonlyMap<string, number>> {
  const counted = new Map<string, number>();
  const text = await capture([...internet.enter, 'nft', '-j', 'list', 'table', 'inet', 'arrivals']);
  const { nftables } = JSON.parse(text) as {
    readonly nftables: readonly { readonly set?: { readonly elem?: readonly SetElement[] } }[];
  };
  for (const { elem } of nftables.flatMap(({ set }) => set?.elem ?? [])) {
    const { val } = elem;
    counted.set(typeof val === 'object' ? val.concat.join(' ') : val, elem.counter.packets);
  }
  return counted;
}

async function pointAtResolver(folder: string, host: Space): Promise<void> {
  const file = join(folder, 'resolv.conf');
  writeFileSync(file, `nameserver ${RESOLVER[4]}\nsearch corp.test sub.test\n`);
  await capture([...host.enter, 'mount', '--bind', file, '/etc/resolv.conf']);
}

// ── servers ──────────────────────────────────────────────────────────────────────────────────────────────────────

async function startServers(
  folder: string,
  internet: Space,
  certificates: Certificates,
  running: Running[],
): Promise<void> {
  const file = (name: string): string => join(folder, name);
  writeFileSync(file('nginx.conf'), nginxConfiguration(folder, certificates));
  writeFileSync(file('dns.conf'), dnsConfiguration(file('dns.log'), Object.values(RESOLVER), ZONE));
  writeFileSync(
    file('attacker-dns.conf'),
    dnsConfiguration(file('attacker-dns.log'), [ATTACKER_RESOLVER], ATTACKER_ZONE),
  );
  const serve = (argv: readonly string[], output?: string): void => {
    running.push(start([...internet.contain, ...argv], output === undefined ? {} : { file: output }));
  }; // prettier-ignore
  serve(['nginx', '-e', 'stderr', '-p', folder, '-c', file('nginx.conf')]);
  serve(['dnsmasq', '--keep-in-foreground', `--conf-file=${file('dns.conf')}`]);
  serve(['dnsmasq', '--keep-in-foreground', `--conf-file=${file('attacker-dns.conf')}`]);
  const echo = fileURLToPath(new URL('servers/echo.ts', import.meta.url));
  const ports = [
    [PORTS.echo, PORTS.echoOther, 22, 25, 853, 5432].join(','),
    [PORTS.udp, PORTS.udpOther, 443, 123].join(','),
    String(PORTS.banner),
    [ADDRESSES.origin, ADDRESSES.denied, ADDRESSES.attacker].flatMap((pair) => [pair[4], pair[6]]).join(','),
  ];
  serve([process.execPath, echo, ...ports], file('echo.jsonl'));

  const servers = running.slice(-4);
  await until('servers', async () => {
    const broken = servers.find((server) => server.ended());
    if (broken !== undefined) throw new Error(`a server ended: ${broken.said()}`);
    const tcp = await capture([...internet.enter, 'ss', '-Hltn']);
    const udp = await capture([...internet.enter, 'ss', '-Hlun']);
    const listens = (text: string, port: number): boolean => text.includes(`:${port} `);
    const ready = [80, 443, PORTS.banner].every((port) => listens(tcp, port)) && [53, PORTS.udp].every((port) => listens(udp, port));
    return ready && tcp.includes(`${ATTACKER_RESOLVER}:53 `) ? true : undefined;
  }); // prettier-ignore
}

function nginxConfiguration(folder: string, { certificate, key }: Certificates): string {
  const format =
    '{"address":"$server_addr","port":$server_port,"host":"$http_host","method":"$request_method","target":"$request_uri",' +
    '"serverName":"$ssl_server_name","protocol":"$server_protocol","status":$status}';
  return `
daemon off;
master_process off;
pid ${folder}/nginx.pid;
error_log ${folder}/nginx.log info;
events { worker_connections 2048; }
http {
  log_format arrival escape=json '${format}';
  access_log ${folder}/http.jsonl arrival;
  client_body_temp_path ${folder}/body;
  proxy_temp_path ${folder}/proxy;
  fastcgi_temp_path ${folder}/fastcgi;
  uwsgi_temp_path ${folder}/uwsgi;
  scgi_temp_path ${folder}/scgi;
  large_client_header_buffers 4 32k;
  merge_slashes off;
  server {
    listen 80 default_server; listen [::]:80 default_server;
    listen 8080; listen [::]:8080;
    listen 443 ssl http2 default_server; listen [::]:443 ssl http2 default_server;
    server_name _;
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_certificate ${certificate};
    ssl_certificate_key ${key};
    default_type text/plain;
    client_max_body_size 0;
    location /ok/files/ { alias ${folder}/files/; }
    location / { return 200 "arrived at $host $request_method $request_uri\\n"; }
  }
}
`;
}

const MANY = 40;
/** The many addresses of one name. */
export function manyAddress(index: number): string {
  return `198.18.200.${index + 1}`;
}

const both = (name: string, pair: { readonly 4: string; readonly 6: string }): string =>
  `host-record=${name},${pair[4]},${pair[6]}`;

const ZONE = [
  both('allowed.test', ADDRESSES.origin),
  both('shared.test', ADDRESSES.origin), // another name of the same address
  both('a.sub.test', ADDRESSES.origin),
  both('sub.test', ADDRESSES.origin),
  both('b.a.sub.test', ADDRESSES.origin),
  both('xn--bcher-kva.test', ADDRESSES.origin),
  both('denied.test', ADDRESSES.denied),
  both('attacker.test', ADDRESSES.attacker),
  `host-record=four.test,${ADDRESSES.origin[4]}`,
  `host-record=six.test,${ADDRESSES.origin[6]}`,
  `host-record=four.sub.test,${ADDRESSES.origin[4]}`,
  `host-record=six.sub.test,${ADDRESSES.origin[6]}`,
  `address=/wild.test/${ADDRESSES.origin[4]}`,
  // names that answer with what a name must not
  both('rebind-metadata.test', ADDRESSES.metadata),
  both('rebind-private.test', ADDRESSES.private),
  'host-record=rebind-loopback.test,127.0.0.1,::1',
  'host-record=rebind-mapped.test,::ffff:169.254.169.254',
  both('rebind-private.wild.test', ADDRESSES.private),
  both('rebind-metadata.wild.test', ADDRESSES.metadata),
  `host-record=rebind-mixed.test,${ADDRESSES.origin[4]}`,
  `host-record=rebind-mixed.test,${ADDRESSES.metadata[4]}`,
  // chains
  'cname=alias.test,alias-of-alias.test',
  'cname=alias-of-alias.test,allowed.test',
  'cname=detour.test,attacker.test',
  ...Array.from({ length: MANY }, (_, index) => `host-record=many.test,${manyAddress(index)}`),
  `txt-record=allowed.test,harmless`,
  `txt-record=tunnel.attacker.test,commands`,
  'dns-rr=allowed.test,10,c0ffee',
  // SvcPriority 1, target ".", alpn=h2, ipv4hint, ech
  `dns-rr=allowed.test,65,0001000001000302683200040004c6120a01000500${(ECH_CONFIG.length / 2).toString(16).padStart(2, '0')}${ECH_CONFIG}`,
  'srv-host=_http._tcp.allowed.test,allowed.test,80',
  both('db.corp.test', ADDRESSES.origin),
];

const ATTACKER_ZONE = [both('allowed.test', ADDRESSES.attacker), both('denied.test', ADDRESSES.attacker)];

function dnsConfiguration(log: string, addresses: readonly string[], zone: readonly string[]): string {
  const lines = [
    'user=root',
    'pid-file=',
    'no-resolv',
    'no-hosts',
    'bind-interfaces',
    'local=/#/',
    'log-queries=extra',
    `log-facility=${log}`,
    'cache-size=0',
  ];
  return [...lines, ...addresses.map((address) => `listen-address=${address}`), ...zone, ''].join('\n'); // prettier-ignore
}

// ── logs ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Whole lines only: a server may be writing the last. A log that is not there yet is empty. */
export function readLines(file: string): readonly unknown[] {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch {
    return [];
  }
  return text
    .slice(0, text.lastIndexOf('\n') + 1)
    .split('\n')
    .filter((line) => line !== '')
    .map((line): unknown => JSON.parse(line));
}

function readQueries(file: string): readonly string[] {
  return [...readFileSync(file, 'utf8').matchAll(/query\[([^\]]+)\] (\S+) from/g)].map(
    ([, type, name]) => `${name} ${type}`,
  );
}

export const REPOSITORY = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
