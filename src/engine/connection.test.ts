/**
 * The way of a connection on real sockets of loopback. The listener stands for the transparent one: the destination that
 * the client dialled is the listener's own address, and `connect` leads to an origin that remembers what arrived.
 */
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import net from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { parsePolicies } from '../api/parse.ts';
import type { Permit } from '../model/verdict.ts';
import { compileSnapshot } from '../policy/compile.ts';
import { suggestRule } from '../policy/suggest.ts';
import { createReporter } from '../report/reporter.ts';
import { createBindings } from './bindings.ts';
import { handleConnection, type ConnectionParts } from './connection.ts';
import type { DnsProxy } from './intercept/dns/proxy.ts';
import { createJudge } from './judge.ts';

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

interface Stage {
  readonly port: number;
  /** Bytes that arrived at the origin, of all connections. */
  readonly arrived: () => Buffer;
  readonly originConnections: () => number;
  /** Reasons of the denials, in order. */
  readonly denials: () => string[];
  readonly faults: unknown[];
}

function portOf(server: net.Server): number {
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

async function stage(
  rules: string,
  onOrigin: (socket: net.Socket) => void,
  detectionTimeoutMs = 5_000,
  replaced: Partial<ConnectionParts> = {},
): Promise<Stage> {
  const parsed = parsePolicies(
    `apiVersion: sallyport.dev/v1alpha1\nkind: SecurityPolicy\nmetadata: {name: test}\nspec:\n  podSelector: {}\n  default: Deny\n${rules}`,
    'test',
  );
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems));
  const snapshot = compileSnapshot({ policies: parsed.value, installDefault: 'Notify' });
  const lines: string[] = [];
  const sink = {
    write: (line: string) => lines.push(line),
    dropped: () => 0,
    close: () => Promise.resolve(),
    closeNow: () => undefined,
  };
  const reporter = createReporter({ sink, recordAllowed: 1, snapshotVersion: snapshot.version, suggest: suggestRule });
  const bindings = createBindings();
  const judge = createJudge({ snapshot: () => snapshot, bindings, reporter, resolve: () => Promise.resolve([]) });
  const chunks: Buffer[] = [];
  const faults: unknown[] = [];
  let originConnections = 0;
  const origin = net.createServer({ allowHalfOpen: true }, (socket) => {
    originConnections += 1;
    socket.on('data', (bytes) => chunks.push(bytes));
    socket.on('error', () => undefined);
    onOrigin(socket);
  });
  await once(origin.listen(0, '127.0.0.1'), 'listening');
  const dns: DnsProxy = { answer: () => Promise.resolve(undefined), resolve: () => Promise.resolve([]) };
  const listener = net.createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    handleConnection(
      {
        snapshot: () => snapshot,
        bindings,
        reporter,
        judge,
        dns,
        detectionTimeoutMs,
        onFault: (error) => faults.push(error),
        connect: () => net.connect({ host: '127.0.0.1', port: portOf(origin), allowHalfOpen: true, noDelay: true }),
        ...replaced,
      },
      socket,
    );
  });
  await once(listener.listen(0, '127.0.0.1'), 'listening');
  closers.push(() => {
    origin.close();
    listener.close();
  });
  return {
    port: portOf(listener),
    arrived: () => Buffer.concat(chunks),
    originConnections: () => originConnections,
    denials: () =>
      lines
        .map((line) => JSON.parse(line) as { verdict: string; reason: string })
        .flatMap(({ verdict, reason }) => (verdict === 'denied' ? [reason] : [])),
    faults,
  };
}

/** Sends, half-closes where asked, and collects until the other side ends or resets. */
function talk(
  port: number,
  words: string | undefined,
  end = false,
): Promise<{ readonly text: string; readonly error: string | undefined }> {
  const socket = net.connect({ host: '127.0.0.1', port, allowHalfOpen: true });
  const received: Buffer[] = [];
  if (words !== undefined) socket.write(words);
  if (end) socket.end();
  return new Promise((resolve) => {
    let error: string | undefined;
    socket.on('data', (bytes) => received.push(bytes));
    socket.on('error', (cause: NodeJS.ErrnoException) => (error = cause.code));
    socket.on('end', () => socket.end());
    socket.on('close', () => {
      resolve({ text: Buffer.concat(received).toString(), error });
    });
  });
}

const LOOPBACK = '[127.0.0.0/8]';

describe('a connection', () => {
  it('is reset at once where no rule could allow it, and nothing is dialled', async () => {
    const { port, denials, originConnections, faults } = await stage(
      `  allow: [{tcp: {cidrs: ${LOOPBACK}, ports: [1]}}]`,
      () => undefined,
    );
    expect(await talk(port, undefined)).toEqual({ text: '', error: 'ECONNRESET' });
    expect([denials(), originConnections(), faults]).toEqual([['no-rule'], 0, []]);
  });

  it('hears a server that speaks first where an address rule allows it', async () => {
    const { port, arrived, denials } = await stage(`  allow: [{tcp: {cidrs: ${LOOPBACK}}}]`, (socket) => {
      socket.write('220 ready\r\n');
      socket.on('data', () => socket.end('221 bye\r\n'));
    });
    const socket = net.connect(port, '127.0.0.1');
    const [greeting] = (await once(socket, 'data')) as [Buffer];
    expect(greeting.toString()).toBe('220 ready\r\n');
    expect(arrived().length).toBe(0);
    socket.write('QUIT\r\n');
    const [farewell] = (await once(socket, 'data')) as [Buffer];
    expect(farewell.toString()).toBe('221 bye\r\n');
    expect(arrived().toString()).toBe('QUIT\r\n');
    expect(denials()).toEqual([]);
    socket.destroy();
  });

  it('waits for what narrower deny rules must see before it sends a byte on', async () => {
    const rules = `  allow: [{tcp: {cidrs: ${LOOPBACK}}}]\n  deny: [{http: {hosts: ["*"], methods: [DELETE]}}]`;
    const { port, arrived } = await stage(rules, (socket) => {
      socket.on('data', () => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n'));
    });
    expect((await talk(port, 'DELETE / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n')).text).toContain('403');
    expect(arrived().length).toBe(0);
    expect((await talk(port, 'GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n')).text).toContain('200');
    expect(arrived().toString()).toMatch(/^GET /);
  });

  it('times out into a denial, never into plain TCP, where only a narrower rule could allow it', async () => {
    const { port, denials, originConnections } = await stage(
      `  allow: [{http: {hosts: ["*"], cidrs: ${LOOPBACK}}}]`,
      () => undefined,
      100,
    );
    expect((await talk(port, undefined)).error).toBe('ECONNRESET');
    expect((await talk(port, 'GE')).error).toBe('ECONNRESET');
    expect((await talk(port, 'GET / HTTP/1.1\r\nHo')).error).toBe('ECONNRESET');
    expect(denials()).toEqual(['detection-timeout', 'detection-timeout', 'detection-timeout']);
    expect(originConnections()).toBe(0);
  });

  it('denies what began like a protocol and ended', async () => {
    const { port, denials, originConnections } = await stage(
      `  allow: [{http: {hosts: ["*"], cidrs: ${LOOPBACK}}}]`,
      () => undefined,
    );
    expect((await talk(port, 'GE', true)).error).toBe('ECONNRESET');
    expect(denials()).toEqual(['malformed']);
    expect(originConnections()).toBe(0);
  });

  it('carries a half-close through, and what the server still says after it', async () => {
    const { port, arrived } = await stage(`  allow: [{tcp: {cidrs: ${LOOPBACK}}}]`, (socket) => {
      socket.on('end', () => socket.end('after'));
    });
    expect(await talk(port, 'before\n', true)).toEqual({ text: 'after', error: undefined });
    expect(arrived().toString()).toBe('before\n');
  });

  it('carries a reset through, both ways', async () => {
    const fromServer = await stage(`  allow: [{tcp: {cidrs: ${LOOPBACK}}}]`, (socket) => {
      socket.on('data', () => socket.resetAndDestroy());
    });
    expect((await talk(fromServer.port, 'hello\n')).error).toBe('ECONNRESET');
    const seen: string[] = [];
    const fromClient = await stage(`  allow: [{tcp: {cidrs: ${LOOPBACK}}}]`, (socket) => {
      socket.on('error', (error: NodeJS.ErrnoException) => seen.push(error.code ?? ''));
    });
    const socket = net.connect(fromClient.port, '127.0.0.1');
    socket.write('hello\n');
    await expect.poll(() => fromClient.arrived().toString()).toBe('hello\n');
    socket.resetAndDestroy();
    await expect.poll(() => seen).toEqual(['ECONNRESET']);
  });

  it('carries much without keeping it: a slow reader slows the sender', async () => {
    const sent = randomBytes(16 * 1024 * 1024);
    const { port } = await stage(`  allow: [{tcp: {cidrs: ${LOOPBACK}}}]`, (socket) => {
      socket.on('data', () => undefined);
      socket.end(sent);
    });
    const socket = net.connect(port, '127.0.0.1');
    socket.write('go\n');
    const hash = createHash('sha256');
    let length = 0;
    for await (const bytes of socket) {
      hash.update(bytes as Buffer);
      length += (bytes as Buffer).length;
      if (length % 7 === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    }
    expect(length).toBe(sent.length);
    expect(hash.digest('hex')).toBe(createHash('sha256').update(sent).digest('hex'));
  });

  it('keeps few of its own answers for a client that reads none, and goes on when it does', async () => {
    const count = 60_000;
    const { port, denials } = await stage(
      `  allow: [{http: {hosts: ['other.test'], cidrs: ${LOOPBACK}}}]`,
      () => undefined,
    );
    const socket = net.connect(port, '127.0.0.1');
    closers.push(() => socket.destroy());
    socket.pause();
    socket.write('GET / HTTP/1.1\r\nHost: denied.test\r\n\r\n'.repeat(count));
    let judged = -1;
    await expect
      .poll(
        () => {
          const before = judged;
          judged = denials().length;
          return judged > 0 && judged === before;
        },
        { interval: 300, timeout: 10_000 },
      )
      .toBe(true);
    // the kernel keeps some megabytes
    expect(judged).toBeLessThan(count * 0.7);

    let answers = 0;
    let rest = '';
    for await (const bytes of socket) {
      const parts = (rest + (bytes as Buffer).toString('latin1')).split('HTTP/1.1 403 ');
      answers += parts.length - 1;
      rest = (parts.at(-1) ?? '').slice(-16);
      if (answers === count) break;
    }
    expect(answers).toBe(count);
  }, 30_000);

  it('ends alone where the firewall is at fault after a name was resolved', async () => {
    const { port, faults } = await stage(
      `  allow: [{http: {hosts: ['allowed.test'], cidrs: ${LOOPBACK}}}]`,
      () => undefined,
      5_000,
      {
        judge: (original, _dialled, act, then) => {
          const access = { ...act, destination: { ...original, requestedName: undefined, names: [] } };
          setImmediate(() => {
            then({ effect: 'allow', permit: {} as Permit, access });
          });
          return undefined;
        },
        connect: () => {
          throw new Error('no socket');
        },
      },
    );
    const { error } = await talk(port, 'GET / HTTP/1.1\r\nHost: allowed.test\r\n\r\n');
    expect(error).toBe('ECONNRESET');
    expect(faults.map(String)).toEqual(['Error: no socket']);
  });
});
