/**
 * Where records go: lines in, appended to a file or standard output in batches, never waiting in the way of an access.
 * What is kept for a slow or full disk is bounded; beyond it records are dropped and counted, and what failed is said once.
 */
import { close, constants, openSync, write, writeSync } from 'node:fs';

import { SallyportError } from '../platform/pure/errors.ts';

export interface SinkOptions {
  readonly maxBatchBytes?: number;
  readonly maxDelayMs?: number;
  readonly maxPendingBytes?: number;
  /** Called once, with the first failure to write. */
  readonly onError?: (error: Error) => void;
}

export interface RecordSink {
  write(line: string): void;
  /** Records that were not written. */
  dropped(): number;
  /** Everything written so far has reached the file when this settles; then the file is closed. Never rejects. */
  close(): Promise<void>;
  /** For a process that ends now: what waits is written before this returns. */
  closeNow(): void;
}

const STDOUT = 1;
const NEWLINE = 10;
const RETRY_MS = 5;
const LAST_TRIES = 200;

/** `-` is standard output. Throws `cannot-create` where the file cannot be appended to. */
export function openSink(path: string, options: SinkOptions = {}): RecordSink {
  return createSink(path === '-' ? STDOUT : openForAppend(path), options);
}

function openForAppend(path: string): number {
  try {
    // O_NONBLOCK: a named pipe without a reader fails at once, instead of stopping the process
    return openSync(
      path,
      constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NONBLOCK | constants.O_NOCTTY,
      0o640,
    );
  } catch (cause) {
    const code = codeOf(cause);
    const why =
      code === 'EISDIR'
        ? 'it is a directory'
        : code === 'ENOENT'
          ? 'its directory does not exist'
          : code === 'EACCES' || code === 'EROFS'
            ? 'writing there is not permitted'
            : code === 'ENXIO'
              ? 'it is a pipe that nobody reads'
              : code;
    throw new SallyportError(
      'cannot-create',
      `cannot write records to ${path}: ${why}`,
      'Give --log a file that can be written, or - for standard output.',
      cause,
    );
  }
}

function createSink(fd: number, options: SinkOptions): RecordSink {
  const maxBatchBytes = options.maxBatchBytes ?? 64 * 1024;
  const maxDelayMs = options.maxDelayMs ?? 50;
  const maxPendingBytes = options.maxPendingBytes ?? 8 * 1024 * 1024;

  let waiting: string[] = [];
  let waitingSize = 0;
  let writing = false;
  let timer: NodeJS.Timeout | undefined;
  let dropped = 0;
  let failed = false;
  let torn = false;
  let closed = false;
  let drained: (() => void) | undefined;

  function put(line: string): void {
    if (closed || waitingSize + line.length > maxPendingBytes) {
      dropped += 1;
      return;
    }
    waiting.push(line);
    waitingSize += line.length;
    if (writing) return;
    if (waitingSize >= maxBatchBytes) startBatch();
    else timer ??= setTimeout(startBatch, maxDelayMs).unref();
  }

  function takeBatch(): Buffer {
    // after a write that failed half-way, the next record begins on a line of its own
    const batch = Buffer.from((torn ? '\n' : '') + waiting.join(''));
    waiting = [];
    waitingSize = 0;
    return batch;
  }

  function startBatch(): void {
    clearTimeout(timer);
    timer = undefined;
    if (waiting.length === 0) {
      drained?.();
      return;
    }
    writing = true;
    writeOn(takeBatch(), 0);
  }

  function writeOn(batch: Buffer, offset: number): void {
    write(fd, batch, offset, batch.length - offset, null, (error, written) => {
      if (error?.code === 'EAGAIN') {
        setTimeout(writeOn, RETRY_MS, batch, offset);
        return;
      }
      const reached = offset + (error === null ? written : 0);
      if (error !== null) fail(error, batch, reached);
      else if (reached < batch.length) {
        writeOn(batch, reached);
        return;
      } else torn = false;
      writing = false;
      startBatch();
    });
  }

  function fail(error: Error, batch: Buffer, reached: number): void {
    dropped += recordsIn(batch.subarray(reached));
    torn = reached === 0 ? torn : batch[reached - 1] !== NEWLINE;
    if (failed) return;
    failed = true;
    options.onError?.(error);
  }

  return {
    write: put,
    dropped: () => dropped,
    async close() {
      if (closed) return;
      closed = true;
      await new Promise<void>((resolve) => {
        drained = resolve;
        if (!writing) startBatch();
      });
      if (fd !== STDOUT) {
        await new Promise<void>((resolve) => {
          close(fd, () => {
            resolve();
          });
        });
      }
    },
    closeNow() {
      if (closed) return;
      closed = true;
      clearTimeout(timer);
      // a batch in flight is with a thread that the process waits for; what is written here may come before it
      let rest = takeBatch();
      for (let tries = 0; rest.length > 0 && tries < LAST_TRIES; tries += 1) {
        try {
          rest = rest.subarray(writeSync(fd, rest));
        } catch (error) {
          if (codeOf(error) !== 'EAGAIN') break;
          Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, RETRY_MS);
        }
      }
      dropped += recordsIn(rest);
    },
  };
}

/** The newline that ends a torn record is none of its own. */
function recordsIn(bytes: Buffer): number {
  let records = 0;
  for (let index = bytes.indexOf(NEWLINE, 1); index >= 0; index = bytes.indexOf(NEWLINE, index + 1)) records += 1;
  return records;
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : String(error);
}
