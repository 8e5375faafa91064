import { afterEach, describe, expect, it } from 'vitest';
import { closeDescriptor, openSocketPair, SOCK } from '../platform/io/libc.ts';
import { openControlChannel, type ControlChannel, type FromInit, type ToInit } from './control.ts';

const REQUEST: ToInit = { type: 'answer-socket', request: 1, address: '198.18.0.1', port: 53 };

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0).reverse()) close();
});

function pair(): { readonly engine: ControlChannel<FromInit, ToInit>; readonly theirs: number } {
  const [ours, theirs] = openSocketPair(SOCK.SEQPACKET | SOCK.NONBLOCK);
  const engine = openControlChannel<FromInit, ToInit>(
    ours,
    () => undefined,
    () => undefined,
  );
  closers.push(() => {
    closeDescriptor(ours);
  }, engine.close);
  return { engine, theirs };
}

describe('openControlChannel', () => {
  it('says that a message does not fit where the other end does not read, and carries on', () => {
    const { engine, theirs } = pair();
    closers.push(() => {
      closeDescriptor(theirs);
    });
    let sent = 0;
    while (sent < 100_000 && engine.send(REQUEST)) sent += 1;
    expect(sent).toBeGreaterThanOrEqual(64);
    expect(sent).toBeLessThan(100_000);
  });

  it('says that a message does not arrive where the other end is gone', () => {
    const { engine, theirs } = pair();
    closeDescriptor(theirs);
    expect(engine.send(REQUEST)).toBe(false);
  });
});
