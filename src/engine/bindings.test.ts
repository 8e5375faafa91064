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

  it('are bounded in all: the names seen longest ago give way', () => {
    const bindings = createBindings(() => 0, { names: 100, addressesPerName: 3, pairs: 4 });
    const seen = (name: string, ...hosts: number[]): void => {
      bindings.bind(
        name,
        hosts.map((host) => address(`192.0.2.${host}`)),
        60,
      );
    };
    const known = (): number[] =>
      [1, 2, 3, 4, 5, 6].filter((host) => bindings.namesOf(address(`192.0.2.${host}`)).length > 0);
    seen('a.test', 1, 2);
    seen('b.test', 3);
    seen('a.test', 1);
    seen('c.test', 4);
    expect(known()).toEqual([1, 2, 3, 4]);
    seen('d.test', 5);
    expect(known()).toEqual([1, 2, 4, 5]);
    seen('d.test', 6);
    expect(known()).toEqual([4, 5, 6]);
  });

  it('have room again for what has ended', () => {
    let now = 0;
    const bindings = createBindings(() => now, { names: 100, addressesPerName: 3, pairs: 2 });
    bindings.bind('a.test', [address('192.0.2.1')], 0);
    bindings.bind('b.test', [address('192.0.2.2')], 7200);
    now = HOUR;
    expect(bindings.namesOf(address('192.0.2.1'))).toEqual([]);
    bindings.bind('c.test', [address('192.0.2.3')], 0);
    expect(bindings.namesOf(address('192.0.2.2'))).toEqual(['b.test']);
    expect(bindings.namesOf(address('192.0.2.3'))).toEqual(['c.test']);
  });

  it('that were given and not answered are never driven out', () => {
    const bindings = createBindings(() => 0, { names: 2, addressesPerName: 1, pairs: 2 });
    bindings.bind('host.test', [address('192.0.2.1'), address('192.0.2.2')], Number.POSITIVE_INFINITY);
    // the same name and address in an answer, too
    bindings.bind('host.test', [address('192.0.2.1')], 60);
    for (let index = 0; index < 9; index += 1) bindings.bind(`n${index}.test`, [address('192.0.2.9')], 60);
    expect(bindings.namesOf(address('192.0.2.1'))).toEqual(['host.test']);
    expect(bindings.namesOf(address('192.0.2.2'))).toEqual(['host.test']);
    expect(bindings.namesOf(address('192.0.2.9'))).toEqual(['n7.test', 'n8.test']);
    for (let index = 0; index < 9; index += 1)
      bindings.bind(`given${index}.test`, [address('192.0.2.3')], Number.POSITIVE_INFINITY);
    expect(bindings.namesOf(address('192.0.2.9'))).toEqual(['n7.test', 'n8.test']);
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
