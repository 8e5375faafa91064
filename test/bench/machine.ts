/** The machine that measures, in words, and which core does what on it. */
import { readFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, release } from 'node:os';

export interface Layout {
  /** The proxy alone has it. */
  readonly proxy: number;
  readonly load: number;
  readonly origin: number;
}

/** The same for every peer. With two cores, origin and load share the one that the proxy does not have. */
function layOut(cores: number): Layout {
  if (cores < 2) return { proxy: 0, load: 0, origin: 0 };
  return { proxy: 0, load: 1, origin: cores > 2 ? 2 : 1 };
}

export interface Machine {
  readonly processor: string;
  readonly cores: number;
  readonly kernel: string;
  readonly node: string;
  readonly memoryGiB: number;
  readonly loadAverage: number;
  readonly layout: Layout;
}

export function describeMachine(): Machine {
  const cores = availableParallelism();
  const [loadAverage = 0] = loadavg();
  const totalKiB = Number(/^MemTotal:\s+(\d+)/m.exec(readFileSync('/proc/meminfo', 'latin1'))?.[1] ?? 0);
  return {
    processor: cpus()[0]?.model.trim() ?? 'unknown',
    cores,
    kernel: release(),
    node: process.version,
    memoryGiB: Math.round(totalKiB / 2 ** 20),
    loadAverage,
    layout: layOut(cores),
  };
}
