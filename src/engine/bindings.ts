/**
 * Which names stand for which addresses, as the DNS answers that we gave said. Kept for an hour since last seen at least
 * (clients cache for longer than a TTL says), bounded, the name seen longest ago gives way. Never guesses: an address that no
 * answer named has no name.
 */
import { LRUCache } from 'lru-cache';
import type { Address } from '../platform/pure/address.ts';

export interface Bindings {
  /** `ttlSeconds`: of the answer; infinite for names that are no answer's (hosts file). */
  bind(name: string, addresses: readonly Address[], ttlSeconds: number): void;
  /** The names of an address. The same array until a binding changes: no allocation for a connection. */
  namesOf(address: Address): readonly string[];
  /** Everything, to outlive a restart. */
  serialize(): readonly SavedBinding[];
  restore(saved: readonly SavedBinding[]): void;
}

export interface SavedBinding {
  readonly name: string;
  readonly address: string;
  /** Epoch milliseconds; null: never. */
  readonly expiresMs: number | null;
}

export interface BindingLimits {
  readonly names: number;
  readonly addressesPerName: number;
  /** Of a name and an address. */
  readonly pairs: number;
}

const MIN_RETENTION_MS = 3_600_000;
const LIMITS: BindingLimits = { names: 16_384, addressesPerName: 1_000, pairs: 65_536 };
const NONE: readonly string[] = [];

interface NamesOfAddress {
  /** When the first of the names ends; then they are looked through. */
  nextExpiryMs: number;
  /** Name → when it ends. */
  readonly expiries: Map<string, number>;
  names: readonly string[] | undefined;
}

export function createBindings(nowMs: () => number = Date.now, limits: BindingLimits = LIMITS): Bindings {
  const byAddress = new Map<string, NamesOfAddress>();
  let pairs = 0;
  /** Names that end. Those that never do were given, not answered: nothing drives them out. */
  const byName = new LRUCache<string, Set<string>>({
    max: limits.names,
    dispose: (addresses, name) => {
      pairs -= addresses.size;
      for (const address of addresses) forget(name, address);
    },
  });

  function forget(name: string, address: string): void {
    const entry = byAddress.get(address);
    if (entry === undefined || entry.expiries.get(name) === Number.POSITIVE_INFINITY) return;
    entry.expiries.delete(name);
    entry.names = undefined;
    if (entry.expiries.size === 0) byAddress.delete(address);
  }

  function makeRoomFor(name: string, address: string): void {
    let addresses = byName.get(name);
    if (addresses === undefined) byName.set(name, (addresses = new Set()));
    // seen last: to the end
    if (!addresses.delete(address)) pairs += 1;
    addresses.add(address);
    for (const oldest of addresses) {
      if (addresses.size <= limits.addressesPerName) break;
      addresses.delete(oldest);
      pairs -= 1;
      forget(name, oldest);
    }
    while (pairs > limits.pairs && byName.size > 1) byName.pop();
  }

  function remember(name: string, address: string, expiresMs: number): void {
    if (expiresMs !== Number.POSITIVE_INFINITY) makeRoomFor(name, address);
    let entry = byAddress.get(address);
    if (entry === undefined)
      byAddress.set(address, (entry = { nextExpiryMs: expiresMs, expiries: new Map(), names: undefined }));
    if (!entry.expiries.has(name)) entry.names = undefined;
    entry.expiries.set(name, Math.max(expiresMs, entry.expiries.get(name) ?? 0));
    entry.nextExpiryMs = Math.min(entry.nextExpiryMs, expiresMs);
  }

  function expire(address: string, entry: NamesOfAddress, now: number): void {
    let next = Number.POSITIVE_INFINITY;
    for (const [name, expiresMs] of entry.expiries) {
      if (expiresMs <= now) {
        if (byName.peek(name)?.delete(address) === true) pairs -= 1;
        forget(name, address);
      } else next = Math.min(next, expiresMs);
    }
    entry.nextExpiryMs = next;
  }

  return {
    bind(name, addresses, ttlSeconds) {
      const expiresMs = nowMs() + Math.max(ttlSeconds * 1000, MIN_RETENTION_MS);
      for (const address of addresses) remember(name, address.text, expiresMs);
    },
    namesOf(address) {
      const entry = byAddress.get(address.text);
      if (entry === undefined) return NONE;
      if (entry.nextExpiryMs !== Number.POSITIVE_INFINITY) {
        const now = nowMs();
        if (entry.nextExpiryMs <= now) expire(address.text, entry, now);
      }
      return (entry.names ??= [...entry.expiries.keys()]);
    },
    serialize() {
      return [...byAddress].flatMap(([address, { expiries }]) =>
        [...expiries].map(([name, expiresMs]) => ({
          name,
          address,
          expiresMs: Number.isFinite(expiresMs) ? expiresMs : null,
        })),
      );
    },
    restore(saved) {
      for (const { name, address, expiresMs } of saved) {
        if (expiresMs === null || expiresMs > nowMs()) remember(name, address, expiresMs ?? Number.POSITIVE_INFINITY);
      }
    },
  };
}
