import { describe, expect, it } from 'vitest';
import type { Round } from './load.ts';
import type { PeerName } from './peers/peer.ts';
import { renderJson, renderText, table, targets, type Results } from './report.ts';

const round = (requestsPerCpuSecond: number): Round => ({
  requests: 1000,
  requestsPerSecond: requestsPerCpuSecond,
  requestsPerCpuSecond,
  busy: 1,
});

const memoryUse = (rssBytes: number) => {
  const use = { rssBytes, privateDirtyBytes: 20e6 };
  return { processes: 2, idleFirst: { rssBytes: 50e6, privateDirtyBytes: 15e6 }, idle: use, open: use };
};

const results: Results = {
  machine: {
    processor: 'a processor',
    cores: 2,
    kernel: '6.1',
    node: 'v24',
    memoryGiB: 8,
    loadAverage: 0,
    layout: { proxy: 0, load: 1, origin: 1 },
  },
  entry: 'cmd/sallyport.ts',
  rounds: 1,
  seconds: 1,
  peers: [{ name: 'Envoy', version: '1', records: 'all' }],
  skips: [{ what: 'Squid', because: 'it is not installed' }],
  http: new Map<PeerName, Round[]>([
    ['direct', [{ requests: 1, requestsPerSecond: 90_000, requestsPerCpuSecond: undefined, busy: undefined }]],
    ['HAProxy', [round(60_000)]],
    ['Envoy', [round(20_000)]],
    ['Sallyport', [round(46_000)]],
  ]),
  connections: undefined,
  firstByteUs: undefined,
  memory: new Map([['Sallyport', memoryUse(61e6)]]),
  recordedShare: new Map([['Envoy', 0.0101]]),
  startup: undefined,
  decide: [{ rules: 1000, ns: 1000 }],
};

describe('targets', () => {
  it('are met at the bound, missed beyond it, and open where nothing was measured', () => {
    expect(targets(results).map(({ name, measured, met }) => [name, measured, met])).toEqual([
      ['judged HTTP over Envoy', 2.3, true],
      ['judged HTTP over HAProxy', 46 / 60, true],
      ['idle RSS', 61, false],
      ['idle private dirty', 20, true],
      ['start-up over the bare command', undefined, undefined],
      ['decide at 1,000 rules', 1000, true],
    ]);
  });
  it('are open, not met, when Sallyport was not measured', () => {
    const http = new Map([['Envoy' as const, [round(20_000)]]]);
    expect(targets({ ...results, http })[0]).toMatchObject({ measured: undefined, met: undefined });
  });
});

describe('renderText', () => {
  it('says what was missed, skipped and recorded', () => {
    const text = renderText(results);
    expect(text).toMatch(/idle RSS +≤ 60 MB +61\.0 MB +MISSED/);
    expect(text).toMatch(/Sallyport's first process of 2 +50\.0 +15\.0\n/);
    expect(text).toMatch(/Sallyport +46,000 +100 % +46,000 +1\.00/);
    expect(text).toMatch(/direct +90,000 +– +– +–/);
    expect(text).toContain('Squid: skipped, because it is not installed');
    expect(text).toContain('Envoy 1 records all (found: 1.01 %).');
  });
});

describe('renderJson', () => {
  it('holds the rounds by peer, and the targets', () => {
    const document = JSON.parse(renderJson(results)) as { http: Record<string, Round[]>; targets: unknown[] };
    expect(document.http['Envoy']).toEqual([round(20_000)]);
    expect(document.targets).toHaveLength(6);
  });
});

describe('table', () => {
  it('aligns the first column to the left and numbers to the right', () => {
    const rows = [
      ['ten', '5'],
      ['a', '1,000'],
    ];
    expect(table(['', 'ns'], rows).split('\n')).toEqual(['          ns', '  ten      5', '  a    1,000']);
  });
});
