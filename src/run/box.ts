/**
 * The box as the engine outside sees it: made, started, signalled, ended. Its namespaces live in a child of
 * unshare(1), because a process with threads (Node) cannot enter a user namespace itself. Nothing of it is on the
 * host: when any of us dies, the kernel takes the namespaces, mounts and rules away.
 */
import { spawn } from 'node:child_process';
import { closeSync } from 'node:fs';
import { findProgram } from '../engine/intercept/packet-filter.ts';
import { hasCapability, openSocketPair, SOCK } from '../platform/io/libc.ts';
import { EXIT_STATUS, SallyportError, type ErrorCode } from '../platform/pure/errors.ts';
import { openControlChannel, type BoxPlan, type FromInit, type ToInit } from './control.ts';

const CAP_SYS_ADMIN = 21;
const START_TIMEOUT_MS = 15_000;

export interface BoxExit {
  readonly code: number | null;
  readonly signal: string | null;
}

export interface BoxListeners {
  readonly tcp: number;
  readonly udp: number;
  readonly icmp: number;
}

export interface Box {
  /** TCP listener, UDP receiver and raw ICMP socket of each family, IPv4 first. */
  readonly listeners: readonly BoxListeners[];
  /** Descriptor of the drop log, where the kernel has one. */
  readonly dropLog: number | undefined;
  start(): void;
  signal(name: string): void;
  /** A descriptor of a datagram socket that sends in the name of `address`; `undefined` when there is none to be had. */
  openAnswerSocket(address: string, port: number): Promise<number | undefined>;
  /** Settles when the command has ended, or rejects when the box has. */
  readonly exited: Promise<BoxExit>;
  close(): void;
}

/** `init`: program and arguments of the init (Node and the entry of the init). */
export function openBox(plan: BoxPlan, init: readonly string[]): Promise<Box> {
  const unshare = findProgram('unshare', plan.searchPath);
  if (unshare === undefined) {
    throw new SallyportError(
      'no-namespaces',
      'unshare(1) was not found',
      'Install util-linux: apt-get install util-linux',
    );
  }
  const [ours, theirs] = openSocketPair(SOCK.SEQPACKET | SOCK.NONBLOCK);
  // root of a container may lack the right to make namespaces, and get it in a user namespace
  const own = hasCapability(CAP_SYS_ADMIN) ? [] : ['--user', '--map-current-user', '--keep-caps'];
  // a signal that ends unshare ends the box: those that are the command's to answer must not
  const script = `trap '' HUP QUIT USR1 USR2 ALRM; exec "$@"`;
  const made = [unshare, ...own, '--net', '--mount', '--pid', '--fork', '--kill-child=SIGKILL', ...init];
  // a clean environment: NODE_OPTIONS and LD_PRELOAD are meant for the command, not for what holds it
  const child = spawn('/bin/sh', ['-c', script, 'sh', ...made], {
    stdio: ['inherit', 'inherit', 'pipe', theirs, 'pipe', 2],
    env: {},
  });
  closeSync(theirs);
  const planPipe = child.stdio[4];
  if (planPipe === null || planPipe === undefined || !('end' in planPipe)) throw new Error('no pipe to the init');
  planPipe.on('error', () => undefined); // the child's own end is reported by 'exit'
  planPipe.end(JSON.stringify(plan));
  return watchBox(child, ours, own.length > 0);
}

function watchBox(child: ReturnType<typeof spawn>, control: number, inUserNamespace: boolean): Promise<Box> {
  const pending = new Map<number, (fd: number | undefined) => void>();
  let nextRequest = 0;
  let said = '';
  child.stderr?.on('data', (chunk: Buffer) => {
    said = (said + chunk.toString()).slice(-4096);
  });
  let ready = false;
  let result: BoxExit | undefined;

  return new Promise<Box>((resolve, reject) => {
    const exit = Promise.withResolvers<BoxExit>();
    exit.promise.catch(() => undefined); // whoever waits for it sees it; nobody may
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      fail(
        new SallyportError('no-namespaces', 'the box did not start within 15 s', 'Try again on a less busy machine.'),
      );
    }, START_TIMEOUT_MS);

    function fail(error: SallyportError): void {
      clearTimeout(timer);
      reject(error);
      exit.reject(error);
    }

    const channel = openControlChannel<FromInit, ToInit>(
      control,
      (message, descriptors) => {
        switch (message.type) {
          case 'ready':
            clearTimeout(timer);
            ready = true;
            resolve(boxFrom(message.dropLog, descriptors));
            break;
          case 'failed':
            fail(
              new SallyportError(
                isErrorCode(message.code) ? message.code : 'internal',
                message.message,
                message.remedy,
              ),
            );
            break;
          case 'exited':
            result = { code: message.code, signal: message.signal };
            exit.resolve(result);
            break;
          case 'answer-socket':
            pending.get(message.request)?.(descriptors[0]);
            pending.delete(message.request);
            break;
          default:
            message satisfies never;
        }
      },
      () => undefined,
    );

    child.on('error', (error) => {
      fail(
        new SallyportError(
          'no-namespaces',
          `unshare could not be started: ${error.message}`,
          'Install util-linux.',
          error,
        ),
      );
    });
    child.on('exit', (code, signal) => {
      for (const settle of pending.values()) settle(undefined);
      pending.clear();
      if (result !== undefined) return;
      if (!ready) {
        fail(namespaceError(said.trim(), inUserNamespace));
        return;
      }
      exit.reject(
        new SallyportError(
          'internal',
          `the box ended before its command did (${signal ?? `status ${String(code)}`})`,
          'Something killed its first process: look for the kernel’s out-of-memory messages.',
        ),
      );
    });

    function boxFrom(hasDropLog: boolean, descriptors: readonly number[]): Box {
      const sockets = hasDropLog ? descriptors.slice(0, -1) : descriptors;
      const listeners: BoxListeners[] = [];
      for (let index = 0; index + 2 < sockets.length; index += 3) {
        const [tcp = -1, udp = -1, icmp = -1] = sockets.slice(index, index + 3);
        listeners.push({ tcp, udp, icmp });
      }
      return {
        listeners,
        dropLog: hasDropLog ? descriptors.at(-1) : undefined,
        start: () => {
          channel.send({ type: 'start' });
        },
        signal: (signal) => {
          channel.send({ type: 'signal', signal });
        },
        openAnswerSocket: (address, port) =>
          new Promise((settle) => {
            nextRequest += 1;
            if (channel.send({ type: 'answer-socket', request: nextRequest, address, port }))
              pending.set(nextRequest, settle);
            else settle(undefined);
          }),
        exited: exit.promise,
        close: () => {
          channel.close();
          closeSync(control);
        },
      };
    }
  });
}

function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(EXIT_STATUS, code);
}

/** unshare(1) says which call failed; why it does is the distribution's doing. */
function namespaceError(said: string, inUserNamespace: boolean): SallyportError {
  const what =
    said === ''
      ? 'the namespaces of the box could not be made'
      : `the namespaces of the box could not be made (${said})`;
  const remedy = inUserNamespace
    ? 'Allow unprivileged user namespaces (sysctl user.max_user_namespaces=15000; on Ubuntu also kernel.apparmor_restrict_unprivileged_userns=0; on older Debian kernel.unprivileged_userns_clone=1), or run as root.'
    : 'Run it where the kernel has network, mount and PID namespaces.';
  return new SallyportError('no-namespaces', what, remedy);
}
