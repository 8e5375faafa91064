import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';

import { afterEach, describe, expect, test } from 'vitest';

import { parseListenAddress } from '../platform/pure/endpoint.ts';
import { createMetrics } from './metrics.ts';
import { createRegistry, serveMetrics } from './metrics-server.ts';
import type { MetricsServer } from './metrics-server.ts';

let server: MetricsServer | undefined;

afterEach(async () => {
  await server?.close();
  server = undefined;
});

async function start(listen = '127.0.0.1:0'): Promise<string> {
  const address = parseListenAddress(listen);
  if (address === undefined) throw new Error('unparseable');
  const metrics = createMetrics();
  metrics.connectionOpened();
  metrics.dnsQuery('refused');
  metrics.bytes('upstream', 42);
  server = await serveMetrics(address, () => metrics.read(3, 'abc'));
  return `http://${server.address}`;
}

describe('the metrics server', () => {
  test('serves the counters, the same twice', async () => {
    const url = await start();
    await fetch(`${url}/metrics`);
    const response = await fetch(`${url}/metrics`);
    const text = await response.text();
    expect(response.headers.get('content-type')).toMatch(/^text\/plain; version=0.0.4/);
    for (const line of [
      'sallyport_connections_total 1',
      'sallyport_connections_open 1',
      'sallyport_bytes_total{direction="upstream"} 42',
      'sallyport_dns_queries_total{outcome="refused"} 1',
      'sallyport_records_dropped_total 3',
      'sallyport_snapshot_info{version="abc"} 1',
    ]) {
      expect(text).toContain(`\n${line}\n`);
    }
  });

  test('serves nothing else', async () => {
    const url = await start();
    const statusOf = async (path: string, method = 'GET'): Promise<number> =>
      (await fetch(url + path, { method })).status;
    expect(await statusOf('/healthz')).toBe(200);
    expect(await statusOf('/')).toBe(404);
    expect(await statusOf('/metrics/../etc')).toBe(404);
    expect(await statusOf('/metrics', 'POST')).toBe(405);
  });

  test('listens on IPv6 too', async () => {
    expect((await fetch(`${await start('[::1]:0')}/healthz`)).status).toBe(200);
  });

  test('says when the address is taken', async () => {
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
    const { port } = taken.address() as AddressInfo;
    await expect(start(`127.0.0.1:${port}`)).rejects.toMatchObject({ code: 'address-in-use' });
    await new Promise((resolve) => taken.close(resolve));
  });

  test('every metric has a help text', async () => {
    const registry = createRegistry(() => createMetrics().read(0, ''));
    for (const metric of await registry.getMetricsAsJSON()) expect(metric.help, metric.name).not.toBe('');
  });
});
