import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { afterEach, beforeEach, describe, expect, test } from 'vitest';

import { SallyportError } from '../platform/pure/errors.ts';
import { openSink } from './sink.ts';

let directory: string;
let path: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'sallyport-sink-'));
  path = join(directory, 'records.jsonl');
});

afterEach(() => {
  rmSync(directory, { recursive: true });
});

function lines(count: number, size = 10): string[] {
  return Array.from({ length: count }, (_, index) => `${String(index).padEnd(size, 'x')}\n`);
}

describe('the sink', () => {
  test('appends, in order, and has written everything when it is closed', async () => {
    writeFileSync(path, 'earlier\n');
    const sink = openSink(path, { maxBatchBytes: 100 });
    const written = lines(5000, 50);
    for (const [index, line] of written.entries()) {
      sink.write(line);
      if (index % 1000 === 0) await delay(1);
    }
    await sink.close();
    expect(readFileSync(path, 'utf8')).toBe(`earlier\n${written.join('')}`);
    expect(sink.dropped()).toBe(0);
  });

  test('writes without being closed, after its delay', async () => {
    const sink = openSink(path, { maxDelayMs: 5 });
    sink.write('one\n');
    expect(readFileSync(path, 'utf8')).toBe('');
    await expect.poll(() => readFileSync(path, 'utf8')).toBe('one\n');
    await sink.close();
  });

  test('closeNow has written everything when it returns', () => {
    const sink = openSink(path);
    sink.write('one\n');
    sink.write('two\n');
    sink.closeNow();
    expect(readFileSync(path, 'utf8')).toBe('one\ntwo\n');
  });

  test('holds no more than its bound; what is beyond is dropped and counted', async () => {
    const sink = openSink(path, { maxBatchBytes: 1, maxPendingBytes: 110 });
    for (const line of lines(100)) sink.write(line);
    await sink.close();
    const kept = readFileSync(path, 'utf8').split('\n').length - 1;
    expect(kept).toBeGreaterThan(0);
    expect(kept).toBeLessThan(20);
    expect(sink.dropped()).toBe(100 - kept);
  });

  test('a full disk loses records, says so once, and does not throw', async () => {
    const errors: Error[] = [];
    const sink = openSink('/dev/full', { maxBatchBytes: 1, onError: (error) => errors.push(error) });
    sink.write('one\n');
    sink.write('two\n');
    await sink.close();
    expect(sink.dropped()).toBe(2);
    expect(errors).toHaveLength(1);
  });

  test('what comes after it is closed is counted as dropped', async () => {
    const sink = openSink(path);
    await sink.close();
    sink.write('late\n');
    expect(sink.dropped()).toBe(1);
  });

  test.each([
    ['a directory', () => directory, /it is a directory/],
    ['a directory that is missing', () => join(directory, 'no', 'where'), /does not exist/],
  ])('cannot be opened on %s', (_name, where, message) => {
    const open = (): unknown => openSink(where());
    expect(open).toThrow(SallyportError);
    expect(open).toThrow(message);
  });
});
