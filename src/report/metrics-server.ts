/**
 * Serves the metrics to Prometheus: only `GET /metrics` and `GET /healthz`, only at the address it was given. It brings
 * prom-client and an HTTP server with it, so import it only where somebody asked for metrics.
 */
import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

import { Counter, Gauge, Registry } from 'prom-client';

import type { ListenAddress } from '../platform/pure/endpoint.ts';
import { SallyportError } from '../platform/pure/errors.ts';
import type { MetricsReading } from './metrics.ts';

export interface MetricsServer {
  /** `127.0.0.1:9090`, `[::1]:9090`: where it listens, with the port it was given where 0 was asked for. */
  readonly address: string;
  close(): Promise<void>;
}

const MAX_CONNECTIONS = 32;
const TIMEOUT_MS = 10_000;

/** Throws `address-in-use` where it cannot listen. */
export async function serveMetrics(listen: ListenAddress, read: () => MetricsReading): Promise<MetricsServer> {
  const registry = createRegistry(read);
  const server = createServer({ headersTimeout: TIMEOUT_MS, requestTimeout: TIMEOUT_MS }, (request, response) => {
    void answer(registry, request, response);
  });
  server.maxConnections = MAX_CONNECTIONS;
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) => {
      reject(
        new SallyportError(
          'address-in-use',
          `cannot serve metrics at ${listen.text}: ${'code' in cause ? String(cause.code) : cause.message}`,
          'Give --metrics an address of this machine and a port that is free; port 0 takes any.',
          cause,
        ),
      );
    });
    server.listen({ port: listen.port, ...(listen.host !== undefined && { host: listen.host }) }, resolve);
  });
  // the workload's end is the end, whoever still reads metrics
  server.unref();
  return {
    address: formatAddress(server.address()),
    close() {
      server.closeAllConnections();
      return new Promise<void>((resolve) => {
        server.close(() => {
          resolve();
        });
      });
    },
  };
}

async function answer(registry: Registry, request: IncomingMessage, response: ServerResponse): Promise<void> {
  request.resume();
  const path = request.url?.split('?')[0];
  if (path !== '/metrics' && path !== '/healthz') {
    reply(response, 404, 'text/plain; charset=utf-8', 'Not here: try /metrics or /healthz.\n');
  } else if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.setHeader('allow', 'GET, HEAD');
    reply(response, 405, 'text/plain; charset=utf-8', 'Only GET.\n');
  } else if (path === '/healthz') {
    reply(response, 200, 'text/plain; charset=utf-8', 'ok\n');
  } else {
    try {
      reply(response, 200, registry.contentType, await registry.metrics());
    } catch (error) {
      reply(response, 500, 'text/plain; charset=utf-8', `${error instanceof Error ? error.message : String(error)}\n`);
    }
  }
}

function reply(response: ServerResponse, status: number, type: string, body: string): void {
  response.writeHead(status, {
    'content-type': type,
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
  });
  response.end(body);
}

/** Name, kind, help and labels of every metric: docs/metrics.md lists the same. */
export function createRegistry(read: () => MetricsReading): Registry {
  const registry = new Registry();
  const registers = [registry];

  new Counter({
    name: 'sallyport_verdicts_total',
    help: 'Judged accesses.',
    labelNames: ['class', 'verdict', 'reason', 'policy', 'rule'],
    registers,
    collect() {
      this.reset();
      for (const { count, ...labels } of read().verdicts) this.inc(labels, count);
    },
  });
  counterOf(
    'sallyport_connections_total',
    'Connections and flows that were caught.',
    (reading) => reading.connectionsTotal,
  );
  gaugeOf('sallyport_connections_open', 'Connections and flows that are open.', (reading) => reading.connectionsOpen);
  new Counter({
    name: 'sallyport_bytes_total',
    help: 'Application bytes that were sent on.',
    labelNames: ['direction'],
    registers,
    collect() {
      this.reset();
      const { bytesUpstream, bytesDownstream } = read();
      this.inc({ direction: 'upstream' }, bytesUpstream);
      this.inc({ direction: 'downstream' }, bytesDownstream);
    },
  });
  labelledCounter(
    'sallyport_dns_queries_total',
    'DNS queries by what became of them.',
    'outcome',
    (reading) => reading.dnsQueries,
  );
  labelledCounter(
    'sallyport_upstream_errors_total',
    'Failures to reach a destination, or to hear it out.',
    'kind',
    (reading) => reading.upstreamErrors,
  );
  counterOf(
    'sallyport_records_dropped_total',
    'Records that could not be written.',
    (reading) => reading.recordsDropped,
  );
  new Gauge({
    name: 'sallyport_snapshot_info',
    help: 'The compiled policy in force; always 1.',
    labelNames: ['version'],
    registers,
    collect() {
      this.reset();
      this.set({ version: read().snapshotVersion }, 1);
    },
  });
  gaugeOf('process_resident_memory_bytes', 'Resident memory of the firewall.', () => process.memoryUsage.rss());
  gaugeOf('process_start_time_seconds', 'Start time of the firewall since the Unix epoch.', () => startSeconds);
  counterOf('process_cpu_seconds_total', 'CPU time that the firewall used.', () => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1e6;
  });
  return registry;

  function counterOf(name: string, help: string, value: (reading: MetricsReading) => number): void {
    new Counter({
      name,
      help,
      registers,
      collect() {
        this.reset();
        this.inc(value(read()));
      },
    });
  }

  function gaugeOf(name: string, help: string, value: (reading: MetricsReading) => number): void {
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(value(read()));
      },
    });
  }

  function labelledCounter(
    name: string,
    help: string,
    label: string,
    value: (reading: MetricsReading) => ReadonlyMap<string, number>,
  ): void {
    new Counter({
      name,
      help,
      labelNames: [label],
      registers,
      collect() {
        this.reset();
        for (const [key, count] of value(read())) this.inc({ [label]: key }, count);
      },
    });
  }
}

const startSeconds = Math.round(Date.now() / 1000 - process.uptime());

function formatAddress(address: AddressInfo | string | null): string {
  if (address === null || typeof address === 'string') return address ?? '';
  return address.family === 'IPv6' ? `[${address.address}]:${address.port}` : `${address.address}:${address.port}`;
}
