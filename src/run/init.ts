/**
 * The first process of the box: PID 1 of its PID namespace, in its own network and mount namespaces (and, for an
 * ordinary user, user namespace). It raises the firewall before anything else runs, hands the listeners to the engine
 * outside, seals what could undo them, starts the command with the capabilities that it may keep, passes signals in
 * and the exit out. Whatever fails here: no command is started. When the engine goes, so does the box.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { applyRules, findPacketFilterTool } from '../engine/intercept/packet-filter.ts';
import { DELIVER_TABLE, DROP_LOG_GROUP, MARKS } from '../engine/intercept/rules.ts';
import { openDropLog } from '../platform/io/drop-log.ts';
import {
  AF,
  bindSocket,
  closeDescriptor,
  hideFromTracers,
  installSeccompFilter,
  closeDescriptorsOnExecAbove,
  limitInheritedCapabilities,
  listenSocket,
  localPortOf,
  openSocket,
  reapOrphan,
  setSocketOption,
  SOCK,
} from '../platform/io/libc.ts';
import { openNetworkConfigurator } from '../platform/io/netlink.ts';
import { parseAddress, parseCidr, type Address, type Cidr } from '../platform/pure/address.ts';
import { SallyportError } from '../platform/pure/errors.ts';
import { openControlChannel, PASSED_SIGNALS, type BoxPlan, type FromInit, type ToInit } from './control.ts';
import { enterAgain, hideSockets, mountDevices, mountProc, mountResolvConf, sealKernelFiles } from './mounts.ts';
import { buildSeccompFilter } from './seccomp.ts';

const CONTROL_DESCRIPTOR = 3;
const PLAN_DESCRIPTOR = 4;
/** The command's standard error. Our own goes to the engine, which says what failed in words of its own. */
const STDERR_DESCRIPTOR = 5;

/** linux/capability.h. None of these can change the network, mounts, other processes or devices. */
const KEPT_CAPABILITIES = new Set([
  0 /* CHOWN */, 1 /* DAC_OVERRIDE */, 3 /* FOWNER */, 4 /* FSETID */, 5 /* KILL */, 6 /* SETGID */, 7 /* SETUID */,
  8 /* SETPCAP */, 10 /* NET_BIND_SERVICE */, 14 /* IPC_LOCK */, 18 /* SYS_CHROOT */, 23 /* SYS_NICE */,
  29 /* AUDIT_WRITE */, 31 /* SETFCAP */,
]);

const SOL_IP = 0;
const SOL_IPV6 = 41;
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const SO_RCVBUF = 8;
const SO_MARK = 36;
const TRANSPARENT = { 4: { level: SOL_IP, name: 19 }, 6: { level: SOL_IPV6, name: 75 } } as const;
const RECEIVE_ORIGINAL = { 4: { level: SOL_IP, name: 20 }, 6: { level: SOL_IPV6, name: 74 } } as const;

/** A terminal sends to its whole foreground group: to the command too. Within this time the two are one signal. */
const SAME_SIGNAL_MS = 40;

/** Runs until the command has ended; `exit` is the process's own. */
export function runInit(exit: (status: number) => never): void {
  let child: ChildProcess | undefined;
  const seenSignals = new Map<string, number>();
  const plan = JSON.parse(readFileSync(PLAN_DESCRIPTOR, 'utf8')) as BoxPlan;
  closeDescriptor(PLAN_DESCRIPTOR);

  const channel = openControlChannel<ToInit, FromInit>(CONTROL_DESCRIPTOR, onMessage, () => exit(125));

  for (const signal of PASSED_SIGNALS) {
    // a handler of our own also keeps Node from opening its debugger at SIGUSR1, which the command could send us
    process.on(signal, () => seenSignals.set(signal, performance.now()));
  }
  try {
    hideFromTracers();
    const { descriptors, dropLog } = raiseFirewall(plan);
    sealFileSystem(plan);
    channel.send({ type: 'ready', dropLog }, descriptors);
  } catch (error) {
    fail(error);
  }

  function onMessage(message: ToInit): void {
    switch (message.type) {
      case 'start':
        try {
          start();
        } catch (error) {
          fail(error);
        }
        break;
      case 'signal':
        setTimeout(() => forward(message.signal), SAME_SIGNAL_MS);
        break;
      case 'answer-socket': {
        const fd = openAnswerSocket(message.address, message.port);
        const answer = { type: 'answer-socket', request: message.request } as const;
        // whoever asked must hear of it even where no descriptor can be sent
        if (fd === undefined || !channel.send(answer, [fd])) channel.send(answer);
        if (fd !== undefined) closeDescriptor(fd);
        break;
      }
      default:
        message satisfies never;
    }
  }

  function start(): void {
    // one that somebody left open may be a connection, or a daemon's socket
    closeDescriptorsOnExecAbove(2);
    limitInheritedCapabilities(KEPT_CAPABILITIES);
    const filter = buildSeccompFilter(process.arch);
    if (filter === undefined) {
      throw new SallyportError(
        'no-kernel-support',
        `this version has no seccomp filter for ${process.arch}`,
        'Run it on x86-64 or arm64.',
      );
    }
    installSeccompFilter(filter.program, filter.seccompNumber);
    const [name = plan.executable, ...args] = plan.command;
    // a script learns its name from the path that is executed: as the shell does it, the one given, or the one found
    child = spawn(name.includes('/') ? name : plan.executable, args, {
      argv0: name,
      stdio: ['inherit', 'inherit', STDERR_DESCRIPTOR],
      env: plan.env,
    });
    child.on('error', (error: NodeJS.ErrnoException) => {
      const missing = error.code === 'ENOENT';
      fail(
        new SallyportError(
          missing ? 'command-not-found' : 'command-not-executable',
          `${plan.command[0] ?? ''}: ${missing ? 'not found' : error.message}`,
          'Check the name and PATH of the command.',
          error,
        ),
      );
    });
    child.on('exit', (code, signal) => {
      channel.send({ type: 'exited', code, signal });
      exit(0);
    });
    const pid = child.pid;
    // orphans of the command become children of PID 1
    process.on('SIGCHLD', () => {
      while (reapOrphan(pid));
    });
  }

  function forward(signal: string): void {
    const seen = seenSignals.get(signal);
    if (seen !== undefined && performance.now() - seen < 4 * SAME_SIGNAL_MS) return;
    if (signal in constants.signals) child?.kill(signal as NodeJS.Signals);
  }

  function fail(error: unknown): never {
    const known = error instanceof SallyportError ? error : undefined;
    channel.send({
      type: 'failed',
      code: known?.code ?? 'internal',
      message: known?.message ?? (error instanceof Error ? error.message : String(error)),
      remedy: known?.remedy ?? 'This is a fault of sallyport: please report it with this message.',
    });
    exit(125);
  }
}

// ── the firewall ─────────────────────────────────────────────────────────────────────────────────────────────────

function raiseFirewall(plan: BoxPlan): { readonly descriptors: readonly number[]; readonly dropLog: boolean } {
  const tool = findPacketFilterTool(plan.searchPath, plan.packetFilter);
  // where the kernel has no IPv6 there is nothing to catch
  const families: (4 | 6)[] = existsSync('/proc/sys/net/ipv6') ? [4, 6] : [4];
  const listeners = families.map((family) => ({ family, ...openListeners(family), icmp: openRawIcmp(family) }));
  const ports = { 4: { tcp: 0, udp: 0 }, 6: { tcp: 0, udp: 0 } };
  for (const { family, tcp, udp } of listeners) ports[family] = { tcp: localPortOf(tcp), udp: localPortOf(udp) };

  const own = families.flatMap((family) => {
    const text = plan.addresses[family];
    const cidr = text === undefined ? undefined : parseCidr(text);
    return cidr === undefined ? [] : [cidr];
  });
  // the filter stands before the first address does
  applyRules(tool, { families, ports, ownAddresses: own });
  configureNetwork(own, plan.ipv6Routes);
  const dropLog = openDropLog(DROP_LOG_GROUP);
  const descriptors = [
    ...listeners.flatMap(({ tcp, udp, icmp }) => [tcp, udp, icmp]),
    ...(dropLog === undefined ? [] : [dropLog]),
  ];
  return { descriptors, dropLog: dropLog !== undefined };
}

function openListeners(family: 4 | 6): { readonly tcp: number; readonly udp: number } {
  const loopback = parseAddress(family === 4 ? '127.0.0.1' : '::1');
  if (loopback === undefined) throw new Error('no loopback address');
  const domain = family === 4 ? AF.INET : AF.INET6;
  const transparent = TRANSPARENT[family];
  // loopback must be up for its address to be bound: IP_TRANSPARENT lifts that
  const tcp = openSocket(domain, SOCK.STREAM | SOCK.NONBLOCK);
  setSocketOption(tcp, transparent.level, transparent.name, 1);
  setSocketOption(tcp, SOL_SOCKET, SO_MARK, MARKS.ours);
  bindSocket(tcp, loopback, 0);
  listenSocket(tcp, 4096);
  const udp = openSocket(domain, SOCK.DGRAM | SOCK.NONBLOCK);
  const original = RECEIVE_ORIGINAL[family];
  setSocketOption(udp, transparent.level, transparent.name, 1);
  setSocketOption(udp, SOL_SOCKET, SO_MARK, MARKS.ours);
  setSocketOption(udp, original.level, original.name, 1);
  bindSocket(udp, loopback, 0);
  return { tcp, udp };
}

/** For refusals: root of the box may have one, the command may not. */
function openRawIcmp(family: 4 | 6): number {
  const fd = openSocket(family === 4 ? AF.INET : AF.INET6, SOCK.RAW | SOCK.NONBLOCK, family === 4 ? 1 : 58);
  setSocketOption(fd, SOL_SOCKET, SO_MARK, MARKS.ours);
  // it sends only: what arrives is the kernel's own affair
  setSocketOption(fd, SOL_SOCKET, SO_RCVBUF, 0);
  return fd;
}

function configureNetwork(own: readonly Cidr[], ipv6Routes: readonly string[]): void {
  const network = openNetworkConfigurator();
  try {
    network.raiseLoopback();
    for (const { address } of own) {
      network.addLoopbackAddress(address);
      network.addMarkRule(address.family, MARKS.deliver, DELIVER_TABLE);
      const everything = parseCidr(address.family === 4 ? '0.0.0.0/0' : '::/0');
      if (everything !== undefined) network.addLocalRoute(everything, DELIVER_TABLE);
      const ranges = address.family === 4 ? ['0.0.0.0/0'] : ipv6Routes;
      for (const range of ranges.flatMap((text) => parseCidr(text) ?? [])) network.addRoute(range, address);
    }
  } finally {
    network.close();
  }
  // clients ping by datagram sockets where they may; here such a packet meets the filter like any other
  attemptWrite('/proc/sys/net/ipv4/ip_unprivileged_port_start', '0');
}

function attemptWrite(path: string, value: string): void {
  try {
    writeFileSync(path, value);
  } catch {
    // an older kernel, or one that does not let a user namespace set it: nothing that we rely on
  }
}

/** A socket that answers in the name of `address`. `undefined` when the kernel refuses. */
function openAnswerSocket(text: string, port: number): number | undefined {
  const address: Address | undefined = parseAddress(text);
  if (address === undefined) return undefined;
  let fd: number | undefined;
  try {
    // the command may have left no descriptor to be had: prlimit(2) asks for the same user only
    fd = openSocket(address.family === 4 ? AF.INET : AF.INET6, SOCK.DGRAM | SOCK.NONBLOCK);
    const transparent = TRANSPARENT[address.family];
    setSocketOption(fd, transparent.level, transparent.name, 1);
    setSocketOption(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    setSocketOption(fd, SOL_SOCKET, SO_MARK, MARKS.answer);
    bindSocket(fd, address, port);
    return fd;
  } catch {
    if (fd !== undefined) closeDescriptor(fd);
    return undefined;
  }
}

// ── the file system and the command ──────────────────────────────────────────────────────────────────────────────

function sealFileSystem(plan: BoxPlan): void {
  const workingDirectory = process.cwd();
  mountProc();
  hideSockets(plan.hiddenFolders, plan.hiddenSockets);
  mountDevices([0, 1, STDERR_DESCRIPTOR]);
  if (plan.resolvConf !== undefined) mountResolvConf(plan.resolvConf.path, plan.resolvConf.text);
  sealKernelFiles();
  enterAgain(workingDirectory, ['/proc', '/dev', '/sys', ...plan.hiddenFolders]);
}
