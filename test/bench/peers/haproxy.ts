/** HAProxy: a transparent bind, three ACLs, and a server without an address, which stands for the original destination. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { LISTENER_PORT, ORIGIN_NAME } from '../network.ts';
import { capture } from '../processes.ts';
import type { Peer } from './peer.ts';
import { openTransparent } from './transparent.ts';

export const haproxy: Peer = {
  name: 'HAProxy',
  records: 'every denial and a random 1 % of the allowed to a file by its stdout; Prometheus exporter on',
  open: async (box, place) => {
    const version = /version (\S+)/.exec(await capture(['haproxy', '-v']))?.[1] ?? '';
    const config = join(place.directory, 'haproxy.cfg');
    writeFileSync(config, CONFIG);
    return openTransparent(box, place, {
      version,
      argv: ['haproxy', '-db', '-f', config],
      recordFile: join(place.directory, 'records.log'),
      recordsOnStdout: true,
    });
  },
};

// `http-reuse` other than `never` reopens a connection a request when the destination is the client's own.
const CONFIG = `global
  nbthread 1
  maxconn 4000
  log stdout format raw local0 info
defaults
  mode http
  log global
  log-format "{\\"time\\":\\"%Tl\\",\\"client\\":\\"%ci:%cp\\",\\"method\\":\\"%HM\\",\\"uri\\":\\"%HU\\",\\"status\\":%ST,\\"state\\":\\"%ts\\"}"
  http-reuse never
  timeout connect 5s
  timeout client 600s
  timeout server 600s
  timeout http-keep-alive 600s
frontend box
  bind 127.0.0.1:${String(LISTENER_PORT)} transparent
  acl allowed_method method GET
  acl allowed_host hdr(host) -i ${ORIGIN_NAME}
  acl allowed_path path_beg /1k
  http-request deny unless allowed_method allowed_host allowed_path
  http-request set-log-level silent unless { rand(100) eq 0 }
  default_backend original_destination
backend original_destination
  server original 0.0.0.0:0
frontend metrics
  bind 127.0.0.1:9101
  no log
  http-request use-service prometheus-exporter if { path /metrics }
`;
