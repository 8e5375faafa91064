/**
 * The origin: nginx, one process, 1 KB out of memory, and the DNS server that knows its name.
 * Its access log holds every request but the allowed ones: after a whole run of load it must not hold a line that a
 * proxy let through. A request carries its `x-gate` header into the log, by which a gate finds its own.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { listens, ORIGIN_ADDRESS, ORIGIN_NAME, type Space } from './network.ts';
import { ready, start } from './processes.ts';

/** What the origin answers to every request. */
export const BODY = 'x'.repeat(1024);

export interface Origin {
  /** The requests that arrived and were not the allowed one: `GATE METHOD HOST URI` each. */
  readonly foreign: () => string[];
  readonly close: () => Promise<void>;
}

export async function openOrigin(space: Space, core: number, directory: string): Promise<Origin> {
  const log = join(directory, 'foreign.log');
  const config = join(directory, 'nginx.conf');
  writeFileSync(config, nginxConfig(directory, log));
  const nginx = start(core, [...space.enter, 'nginx', '-p', directory, '-c', config, '-e', 'stderr']);
  const script = fileURLToPath(new URL('dns-server.ts', import.meta.url));
  const dns = start(core, [...space.enter, process.execPath, script, ORIGIN_ADDRESS, ORIGIN_NAME, ORIGIN_ADDRESS]);
  const close = async (): Promise<void> => {
    await Promise.all([nginx.close(), dns.close()]);
  };
  try {
    await ready('nginx', nginx, () => listens(space, '-tln', `${ORIGIN_ADDRESS}:80`));
    await ready('the DNS server', dns, () => listens(space, '-uln', `${ORIGIN_ADDRESS}:53`));
  } catch (error) {
    await close();
    throw error;
  }
  return {
    foreign: () => (existsSync(log) ? readFileSync(log, 'latin1').split('\n').filter(Boolean) : []),
    close,
  };
}

function nginxConfig(directory: string, log: string): string {
  return `daemon off;
master_process off;
pid ${directory}/nginx.pid;
events { worker_connections 4096; }
http {
  client_body_temp_path ${directory};
  proxy_temp_path ${directory};
  fastcgi_temp_path ${directory};
  uwsgi_temp_path ${directory};
  scgi_temp_path ${directory};
  keepalive_requests 1000000000;
  keepalive_timeout 600s;
  map "$request_method $host $request_uri" $foreign { "GET ${ORIGIN_NAME} /1k" 0; default 1; }
  log_format foreign '$http_x_gate $request_method $host $request_uri';
  access_log ${log} foreign if=$foreign;
  server {
    listen ${ORIGIN_ADDRESS}:80 backlog=4096;
    location / { default_type text/plain; return 200 "${BODY}"; }
  }
}
`;
}
