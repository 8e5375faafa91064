/** One network a test file, one box a describe; where this machine cannot have them, every test says why it is skipped. */
import { afterAll, beforeAll, beforeEach } from 'vitest';
import { openBox, type Box, type BoxOptions } from './box.ts';
import { lackForNetwork } from './machine.ts';
import { openNetwork, type Network } from './network.ts';

export function useNetwork(): () => Network {
  const lack = lackForNetwork();
  let network: Network | undefined;
  beforeAll(async () => {
    if (lack === undefined) network = await openNetwork();
  });
  beforeEach((context) => {
    if (lack !== undefined) context.skip(lack);
  });
  afterAll(() => network?.close());
  return () => {
    if (network === undefined) throw new Error('there is no network before the tests run');
    return network;
  };
}

export function useBox(network: () => Network, options: BoxOptions): () => Box {
  let box: Box | undefined;
  beforeAll(async () => {
    if (lackForNetwork() === undefined) box = await openBox(network(), options);
  });
  afterAll(() => box?.close());
  return () => {
    if (box === undefined) throw new Error('there is no box before the tests run');
    return box;
  };
}

/** How many packets arrived between now and the call of what it gives, at addresses that contain `part`. */
export async function countArrivals(network: Network, part: string): Promise<() => Promise<number>> {
  const total = async (): Promise<number> => {
    let sum = 0;
    for (const [where, packets] of await network.packets()) if (`${where} `.includes(`${part} `)) sum += packets;
    return sum;
  };
  const before = await total();
  return async () => (await total()) - before;
}
