/**
 * The network of the benchmark: one namespace for the origin, one for each box, joined by veth pairs, all of it out of
 * 198.18.0.0/15 and none of it in the host's own namespace. A namespace lives as long as the process that holds it:
 * there is no name to leave behind.
 */
import { readlinkSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { capture, start, type Running } from './processes.ts';

export const ORIGIN_ADDRESS = '198.18.255.1';
export const ORIGIN_NAME = 'origin.test';

/** The user of the load in a peer's box. */
export const LOAD_USER = 64099;
/** Where a peer's transparent listener stands in its box. */
export const LISTENER_PORT = 15001;

export interface Space {
  readonly holder: Running;
  /** Prefix of an argv that runs in this network and mount namespace. */
  readonly enter: readonly string[];
  readonly close: () => Promise<void>;
}

export interface Box extends Space {
  /** The address that the load's connections come from, and nothing else's in the box. */
  readonly loadAddress: string;
}

/** A network and mount namespace of its own, whose /etc/resolv.conf is `resolvConf`. */
export async function openSpace(resolvConf: string): Promise<Space> {
  const holder = start(0, ['unshare', '--net', '--mount', '--propagation', 'private', 'sleep', 'infinity']);
  const link = `/proc/${String(holder.pid)}/ns`;
  const entered = (): boolean =>
    (['net', 'mnt'] as const).every(
      (kind) => readlinkSync(`${link}/${kind}`) !== readlinkSync(`/proc/self/ns/${kind}`),
    );
  const deadline = Date.now() + 5000;
  while (holder.ended() || !entered()) {
    if (holder.ended() || Date.now() > deadline) {
      throw new Error(`cannot make a network namespace: ${holder.said().trim()}`);
    }
    await sleep(5);
  }
  const enter = ['nsenter', '--target', String(holder.pid), '--net', '--mount', '--wdns=/'];
  await capture([...enter, 'mount', '--bind', resolvConf, '/etc/resolv.conf']);
  // Squid leaves segments in shared memory when it is killed, and finds those of another run.
  await capture([...enter, 'mount', '-t', 'tmpfs', 'tmpfs', '/dev/shm']);
  return { holder, enter, close: holder.close };
}

export async function prepareOriginSpace(space: Space): Promise<void> {
  await capture([...space.enter, 'ip', '-batch', '-'], `link set lo up\naddr add ${ORIGIN_ADDRESS}/32 dev lo\n`);
}

/**
 * Joins a namespace to the origin. `index` (1 … 250) makes its addresses its own. The load gets a source address of its
 * own: the packets of its connections are then known by it, also those that the kernel sends after their socket is gone
 * (the last acknowledgement of a connection), which a match on the owner of a packet would miss.
 */
export async function joinOrigin(origin: Space, space: Space, index: number): Promise<Box> {
  const link = `box${String(index)}`;
  const subnet = `198.18.${String(index)}`;
  const loadAddress = `${subnet}.3`;
  await capture(
    [...origin.enter, 'ip', '-batch', '-'],
    `link add ${link} type veth peer name eth0 netns ${String(space.holder.pid)}
    addr add ${subnet}.1/24 dev ${link}
    link set ${link} up\n`,
  );
  await capture(
    [...space.enter, 'ip', '-batch', '-'],
    `link set lo up
    addr add ${subnet}.2/24 dev eth0
    addr add ${loadAddress}/24 dev eth0
    link set eth0 up
    route add default via ${subnet}.1
    route add default via ${subnet}.1 src ${loadAddress} table 200
    rule add pref 200 uidrange ${String(LOAD_USER)}-${String(LOAD_USER)} lookup 200\n`,
  );
  await widenPorts(space.enter);
  return { ...space, loadAddress };
}

/**
 * New connections at full rate leave more sockets in TIME_WAIT than there are ports by default, and from the half of the
 * range on each connect searches it. `enter` leads into the network namespace of the client, with a writable /proc/sys.
 */
export async function widenPorts(enter: readonly string[]): Promise<void> {
  const folder = '/proc/sys/net/ipv4';
  const script = `echo 1024 65535 >${folder}/ip_local_port_range && echo 1 >${folder}/tcp_tw_reuse`;
  await capture([...enter, 'sh', '-c', script]);
}

/**
 * Leads what the load sends to port 80 to the transparent listener, without translating an address: as Sallyport does it
 * in its own box, but with fewer rules (no connection tracking, no final drop), which favours the peers.
 */
export async function intercept(box: Box): Promise<void> {
  await capture(
    [...box.enter, 'ip', '-batch', '-'],
    'rule add pref 100 fwmark 1 lookup 100\nroute add local default dev lo table 100\n',
  );
  await capture(
    [...box.enter, 'nft', '-f', '-'],
    `table ip bench {
      chain output {
        type route hook output priority mangle;
        ip saddr ${box.loadAddress} tcp dport 80 meta mark set 1
      }
      chain prerouting {
        type filter hook prerouting priority mangle;
        meta mark 1 tcp dport 80 tproxy to 127.0.0.1:${String(LISTENER_PORT)} accept
      }
    }`,
  );
}

/** Whether `endpoint` (address:port) is listened on; `flags` of ss. */
export async function listens(space: Space, flags: string, endpoint: string): Promise<boolean> {
  return (await capture([...space.enter, 'ss', '-H', flags])).includes(` ${endpoint} `);
}
