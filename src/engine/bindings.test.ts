import { describe, expect, it } from 'vitest';
import { parseAddress, type Address } from '../platform/pure/address.ts';
import { createBindings } from './bindings.ts';

function address(text: string): Address {
  const parsed = parseAddress(text);
  if (parsed === undefined) throw new Error(text);
  return parsed;
}

const HOUR = 3_600_000;

describe('bindings', () => {
  it('know the names of an address, all of them', () => {
    const bindings = createBindings(() => 0);
    bindings.bind('a.test', [address('192.0.2.1'), address('192.0.2.2')], 60);
    bindings.bind('b.test', [address('192.0.2.1')], 60);
    expect(bindings.namesOf(address('192.0.2.1'))).toEqual(['a.test', 'b.test']);
    expect(bindings.namesOf(address('192.0.2.2'))).toEqual(['a.test']);
    expect(bindings.namesOf(address('192.0.2.3'))).toEqual([]);
  });

  it('give the same array until something changes', () => {
    const bindings = createBindings(() => 0);
    bindings.bind('a.test', [address('192.0.2.1')], 60);
    const names = bindings.namesOf(address('192.0.2.1'));
    bindings.bind('a.test', [address('192.0.2.1')], 60);
    expect(bindings.namesOf(address('192.0.2.1'))).toBe(names);
    bindings.bind('b.test', [address('192.0.2.1')], 60);
    expect(bindings.namesOf(address('192.0.2.1'))).not.toBe(names);
  });

  it('last an hour, or as long as the TTL says', () => {
    let now = 0;
    const bindings = createBindings(() => now);
    bindings.bind('short.test', [address('192.0.2.1')], 0);
    bindings.bind('long.test', [address('192.0.2.1')], 7200);
    now = HOUR - 1;
    expect(bindings.namesOf(address('192.0.2.1'))).toEqual(['short.test', 'long.test']);
    now = HOUR;
    expect(bindings.namesOf(address('192.0.2.1'))).toEqual(['long.test']);
    now = 2 * HOUR;
    expect(bindings.namesOf(address('192.0.2.1'))).toEqual([]);
  });

  it('count from when they were last seen', () => {
    let now = 0;
    const bindings = createBindings(() => now);
    bindings.bind('a.test', [address('192.0.2.1')], 0);
    now = HOUR / 2;
    bindings.bind('a.test', [address('192.0.2.1')], 0);
    now = HOUR;
    expect(bindings.namesOf(address('192.0.2.1'))).toEqual(['a.test']);
  });

  it('are bounded: by address, the oldest first, and by name', () => {
    const bindings = createBindings(() => 0, { names: 2, addressesPerName: 3, pairs: 100 });
    for (let index = 1; index <= 5; index += 1) bindings.bind('many.test', [address(`192.0.2.${index}`)], 60);
    expect([1, 2, 3, 4, 5].map((index) => bindings.namesOf(address(`192.0.2.${index}`)).length)).toEqual([
      0, 0, 1, 1, 1,
    ]);
    bindings.bind('b.test', [address('192.0.2.9')], 60);
    bindings.bind('c.test', [address('192.0.2.9')], 60);
    expect(bindings.namesOf(address('192.0.2.5'))).toEqual([]);
    expect(bindings.namesOf(address('192.0.2.9'))).toEqual(['b.test', 'c.test']);
  });

  it('outlive a restart, less what has ended', () => {
    let now = 0;
    const before = createBindings(() => now);
    before.bind('a.test', [address('192.0.2.1')], 0);
    before.bind('host.test', [address('192.0.2.1')], Number.POSITIVE_INFINITY);
    const saved = JSON.parse(JSON.stringify(before.serialize())) as ReturnType<typeof before.serialize>;
    now = 2 * HOUR;
    const after = createBindings(() => now);
    after.restore(saved);
    expect(after.namesOf(address('192.0.2.1'))).toEqual(['host.test']);
  });
});
