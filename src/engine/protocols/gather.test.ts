import { describe, expect, it } from 'vitest';
import { createGathered, gather, gathered, takeGathered } from './gather.ts';

describe('gather', () => {
  it('keeps a single piece without copying it', () => {
    const piece = Buffer.from('one');
    const kept = createGathered();
    gather(kept, piece);
    expect(takeGathered(kept)).toBe(piece);
    expect(kept.length).toBe(0);
  });

  it('joins pieces in order and never writes into the first', () => {
    const memory = Buffer.from('onexxxxxx');
    const kept = createGathered();
    gather(kept, memory.subarray(0, 3));
    for (const text of ['', 'two', 'three']) gather(kept, Buffer.from(text));
    expect(gathered(kept).toString()).toBe('onetwothree');
    expect(memory.toString()).toBe('onexxxxxx');
  });

  it('costs no more than a few copies of what came byte by byte', () => {
    const kept = createGathered();
    let moves = 0;
    let memory = kept.bytes;
    for (let index = 0; index < 100_000; index += 1) {
      gather(kept, Buffer.from([index & 255]));
      if (kept.bytes !== memory) moves += 1;
      memory = kept.bytes;
    }
    expect(moves).toBeLessThan(30);
    expect(takeGathered(kept)[99_999]).toBe(99_999 & 255);
  });
});
