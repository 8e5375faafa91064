/** Squid: a TPROXY port, three ACLs, no cache. Its log takes ACLs, so that it samples as the others do. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { LISTENER_PORT, ORIGIN_ADDRESS, ORIGIN_NAME } from '../network.ts';
import { capture } from '../processes.ts';
import type { Peer } from './peer.ts';
import { openTransparent } from './transparent.ts';

export const squid: Peer = {
  name: 'Squid',
  records: 'every denial and a random 1 % of the allowed to a file; its own counters, no Prometheus',
  open: async (box, place) => {
    const version = /Version (\S+)/.exec(await capture(['squid', '-v']))?.[1] ?? '';
    const config = join(place.directory, 'squid.conf');
    const hosts = join(place.directory, 'hosts');
    const recordFile = join(place.directory, 'records.log');
    writeFileSync(hosts, `${ORIGIN_ADDRESS} ${ORIGIN_NAME}\n`);
    writeFileSync(config, squidConfig(place.directory, hosts, recordFile));
    return openTransparent(box, place, {
      version,
      argv: [...AS_NOBODY, 'squid', '-N', '-f', config],
      recordFile,
      recordsOnStdout: false,
    });
  },
};

/**
 * Started as root, Squid changes its user, and the kernel then forgets the parent-death signal that ends it with the
 * benchmark. So it starts as another user, with the capability that its TPROXY port needs.
 */
const AS_NOBODY = [
  ...['setpriv', '--reuid', '65534', '--regid', '65534', '--clear-groups'],
  ...['--inh-caps', '+net_admin', '--ambient-caps', '+net_admin', '--pdeathsig', 'KILL'],
];

function squidConfig(directory: string, hosts: string, recordFile: string): string {
  return `http_port 127.0.0.1:${String(LISTENER_PORT)} tproxy
http_port 127.0.0.1:9102
acl allowed_method method GET
acl allowed_host dstdomain ${ORIGIN_NAME}
acl allowed_path urlpath_regex ^/1k
http_access allow allowed_method allowed_host allowed_path
http_access deny all
acl denied http_status 403
acl sampled random 0.01
access_log stdio:${recordFile} squid denied
access_log stdio:${recordFile} squid sampled !denied
spoof_client_ip deny all
cache deny all
cache_mem 0 MB
cache_log ${directory}/cache.log
coredump_dir ${directory}
pid_filename none
hosts_file ${hosts}
dns_nameservers ${ORIGIN_ADDRESS}
max_filedescriptors 8192
client_idle_pconn_timeout 10 minutes
server_idle_pconn_timeout 10 minutes
forwarded_for transparent
via off
pinger_enable off
shutdown_lifetime 0 seconds
`;
}
