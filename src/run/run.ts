/**
 * `sallyport run`: the engine around one command. Makes the box, starts the engine on its listeners, starts the command,
 * ends as the command ends. Input: checked options. Whatever fails before the command runs is a SallyportError.
 */
import dgram from 'node:dgram';
import net from 'node:net';
import { constants } from 'node:os';
import { createBindings } from '../engine/bindings.ts';
import { startEngine } from '../engine/engine.ts';
import { buildUdpRefusal } from '../engine/icmp-refusal.ts';
import { createDnsClient } from '../engine/intercept/dns/client.ts';
import { createDnsProxy } from '../engine/intercept/dns/proxy.ts';
import { parseResolvConf } from '../engine/intercept/dns/resolv-conf.ts';
import { createJudge } from '../engine/judge.ts';
import { HOST_LOOPBACK_ADDRESSES, HOST_LOOPBACK_NAME, VIRTUAL_HOSTS } from '../model/virtual-hosts.ts';
import { foregroundGroupOf, sendDatagram, takeForeground } from '../platform/io/libc.ts';
import type { Address } from '../platform/pure/address.ts';
import { SallyportError } from '../platform/pure/errors.ts';
import { printableText } from '../platform/pure/printable.ts';
import { compileSnapshot } from '../policy/compile.ts';
import { mayAnswer } from '../policy/decide.ts';
import { suggestRule } from '../policy/suggest.ts';
import { createReporter, type Reporter } from '../report/reporter.ts';
import { openSink } from '../report/sink.ts';
import { createAnswerSockets } from './answer-sockets.ts';
import { openBox, type BoxExit } from './box.ts';
import { PASSED_SIGNALS, type BoxPlan } from './control.ts';
import { findHiddenSockets } from './hidden-sockets.ts';
import { isOwnHost, readIpv6Routes, readHostNames, readResolvConf } from './host.ts';
import type { RunOptions } from './options.ts';
import { renderSummary } from '../report/summary-text.ts';

/** Addresses of the box, none of which is anybody's: IETF protocol assignments, and a ULA of our own. */
const BOX = {
  own: { 4: '192.0.0.2', 6: 'fd73:616c:6c79::2' },
  resolver: '192.0.0.53',
} as const;
/** What stands for the host's loopback inside, and what it is outside. */
const LOOPBACK_OF: ReadonlyMap<string, string> = new Map(
  HOST_LOOPBACK_ADDRESSES.map(({ family, text }) => [text, family === 4 ? '127.0.0.1' : '::1']),
);

const DETECTION_TIMEOUT_MS = 10_000;
const MAX_SAID_FAULTS = 10;
const CONNECT_TIMEOUT_MS = 60_000;

/** `init`: program and arguments that start the first process of the box. Settles with the command's own exit status. */
export async function runCommand(options: RunOptions, init: readonly string[]): Promise<number> {
  const { text: resolvConf, realPath } = readResolvConf();
  const copied = parseResolvConf(resolvConf);
  const resolvers =
    options.resolvers.length > 0 ? options.resolvers : copied.nameservers.map((address) => ({ address, port: 53 }));
  if (resolvers.length === 0) {
    throw new SallyportError(
      'no-resolver',
      '/etc/resolv.conf names no DNS server',
      'Name one: sallyport run --resolver ADDRESS … -- COMMAND',
    );
  }
  const sink =
    options.log === undefined
      ? undefined
      : openSink(options.log, {
          onError: (error) => {
            process.stderr.write(`sallyport: records are being lost: ${error.message}\n`);
          },
        });
  const opening = openBox(planBox(options, realPath, resolvConf), init);
  // while the box is being made
  opening.catch(() => undefined);
  const snapshot = compileSnapshot({
    policies: options.policies,
    installDefault: options.installDefault,
    virtualHosts: VIRTUAL_HOSTS,
  });
  const reporter = createReporter({
    sink,
    recordAllowed: options.logAllowedRate,
    snapshotVersion: snapshot.version,
    suggest: suggestRule,
  });
  const bindings = createBindings();
  for (const { name, address } of readHostNames()) bindings.bind(name, [address], Number.POSITIVE_INFINITY);
  bindings.bind(HOST_LOOPBACK_NAME, HOST_LOOPBACK_ADDRESSES, Number.POSITIVE_INFINITY);
  const metrics = await serveMetrics(options, reporter);
  const box = await opening;

  const client = createDnsClient({
    resolvers,
    openUdp: (family) => dgram.createSocket(family === 4 ? 'udp4' : 'udp6'),
    connectTcp: ({ address, port }) => net.connect({ host: address.text, port }),
  });
  const answers = createAnswerSockets(box);
  const judge = createJudge({
    snapshot: () => snapshot,
    bindings,
    reporter,
    // inside, such an address is the box's own; dialled from here it would be the host's
    resolve: async (name, family) => (await dns.resolve(name, family)).filter((address) => !isOwnHost(address)),
  });
  const dns = createDnsProxy({
    client,
    bindings,
    judge,
    mayAnswer: (name, address) => mayAnswer(snapshot, name, address),
    virtualHosts: VIRTUAL_HOSTS,
    searchDomains: copied.search,
    count: reporter.dns,
  });
  const engine = startEngine(
    {
      snapshot: () => snapshot,
      bindings,
      reporter,
      judge,
      dns,
      detectionTimeoutMs: DETECTION_TIMEOUT_MS,
      onFault: createFaultPrinter(),
      connect: connectTcp,
      connectUdp,
      answer: answers.send,
      refuse(datagram, length) {
        const icmp = box.listeners[datagram.original.address.family === 4 ? 0 : 1]?.icmp;
        if (icmp !== undefined) sendDatagram(icmp, buildUdpRefusal(datagram, length), datagram.source.address, 0);
      },
    },
    box,
  );

  for (const signal of PASSED_SIGNALS) {
    process.on(signal, () => {
      box.signal(signal);
    });
  }
  box.start();
  try {
    return exitStatus(await box.exited);
  } finally {
    engine.close();
    answers.close();
    metrics?.close();
    await reporter.close();
    takeTerminalBack();
    process.stderr.write(
      renderSummary(reporter.summary(), {
        when: options.summary,
        output: options.output,
        isTty: options.isTty,
        observing: options.onViolation === 'Notify',
        columns: process.stderr.columns,
        env: options.env,
      }),
    );
    box.close();
  }
}

/** Once for each kind: the words of a fault are for whoever mends it, and must not fill a terminal. */
function createFaultPrinter(): (error: unknown) => void {
  const said = new Set<string>();
  return (error) => {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    if (said.has(text) || said.size >= MAX_SAID_FAULTS) return;
    said.add(text);
    process.stderr.write(
      `sallyport: a connection was ended by a fault of sallyport itself. Please report it:\n${printableText(text)}\n`,
    );
  };
}

function planBox(options: RunOptions, resolvConfPath: string | undefined, resolvConf: string): BoxPlan {
  const hidden = findHiddenSockets(options.env, options.allowSockets);
  return {
    executable: options.executable,
    command: options.command,
    env: definedOnly(options.env),
    searchPath: options.env['PATH'] ?? '',
    packetFilter: undefined,
    addresses: BOX.own,
    ipv6Routes: [
      ...readIpv6Routes().map(({ text }) => text),
      ...HOST_LOOPBACK_ADDRESSES.filter(({ family }) => family === 6).map(({ text }) => `${text}/128`),
    ],
    resolvConf: resolvConfPath === undefined ? undefined : { path: resolvConfPath, text: pointAtUs(resolvConf) },
    hiddenFolders: hidden.folders,
    hiddenSockets: hidden.sockets,
  };
}

/** The host's resolv.conf with the DNS proxy as its server: the host's own may be on loopback, which inside is the box's. */
function pointAtUs(resolvConf: string): string {
  const kept = resolvConf.split('\n').filter((line) => /^\s*(search|domain|options)\b/.test(line));
  return ['# written by sallyport run', `nameserver ${BOX.resolver}`, ...kept, ''].join('\n');
}

function definedOnly(env: RunOptions['env']): Record<string, string> {
  return Object.fromEntries(
    Object.entries(env).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
  );
}

function connectTcp(address: Address, port: number): net.Socket {
  const options = { port, allowHalfOpen: true, noDelay: true };
  const socket = LOOPBACK_OF.has(address.text)
    ? net.connect({ ...options, host: 'localhost', autoSelectFamily: true, lookup: lookUpLoopback })
    : net.connect({ ...options, host: address.text });
  // the kernel itself gives up after some two minutes
  socket.setTimeout(CONNECT_TIMEOUT_MS, () => socket.destroy(new Error('connect timed out')));
  socket.once('connect', () => socket.setTimeout(0));
  return socket;
}

/** The host's loopback, on whichever family the server listens. No name is looked up. */
const lookUpLoopback: net.LookupFunction = (_name, _options, found) => {
  found(null, [
    { address: '127.0.0.1', family: 4 },
    { address: '::1', family: 6 },
  ]);
};

function connectUdp(address: Address, port: number): Promise<dgram.Socket> {
  const socket = dgram.createSocket(address.family === 4 ? 'udp4' : 'udp6');
  return new Promise((resolve, reject) => {
    // Node gives a failure (no route, a broadcast address) to the callback, not to 'error'
    socket.connect(port, LOOPBACK_OF.get(address.text) ?? address.text, (...failure: unknown[]) => {
      if (failure[0] instanceof Error) {
        socket.close();
        reject(failure[0]);
      } else resolve(socket);
    });
  });
}

async function serveMetrics(options: RunOptions, reporter: Reporter): Promise<{ close(): void } | undefined> {
  if (options.metrics === undefined) return undefined;
  const { serveMetrics: serve } = await import('../report/metrics-server.ts');
  return serve(options.metrics, reporter.readMetrics);
}

/** As a shell has it: the command's own status, or 128 and the number of the signal that ended it. */
function exitStatus({ code, signal }: BoxExit): number {
  if (code !== null) return code;
  return 128 + (signal !== null && signal in constants.signals ? constants.signals[signal as NodeJS.Signals] : 0);
}

/** A shell inside leaves the terminal with a process group that is gone. */
function takeTerminalBack(): void {
  const stdin = 0;
  if (foregroundGroupOf(stdin) === undefined) return;
  takeForeground(stdin);
}
