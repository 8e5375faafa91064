/** A certificate authority of the test run's own, and one certificate for every name and address of its servers. */
import { chmodSync } from 'node:fs';
import { join } from 'node:path';
import { capture } from './processes.ts';

export interface Certificates {
  /** PEM files. */
  readonly authority: string;
  readonly certificate: string;
  readonly key: string;
}

export async function makeCertificates(
  folder: string,
  names: readonly string[],
  addresses: readonly string[],
): Promise<Certificates> {
  const file = (name: string): string => join(folder, name);
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  await capture([
    'openssl', 'req', '-x509', ...curve, '-days', '2', '-subj', '/CN=Test authority',
    '-addext', 'basicConstraints=critical,CA:TRUE', '-addext', 'keyUsage=critical,keyCertSign',
    '-keyout', file('ca.key'), '-out', file('ca.pem'),
  ]); // prettier-ignore
  const alternatives = [...names.map((name) => `DNS:${name}`), ...addresses.map((address) => `IP:${address}`)];
  await capture([
    'openssl', 'req', '-x509', ...curve, '-days', '2', '-subj', '/CN=Test server',
    '-CA', file('ca.pem'), '-CAkey', file('ca.key'),
    '-addext', 'basicConstraints=critical,CA:FALSE', '-addext', `subjectAltName=${alternatives.join(',')}`,
    '-keyout', file('server.key'), '-out', file('server.pem'),
  ]); // prettier-ignore
  chmodSync(file('server.key'), 0o644); // a client of any user shows it too
  return { authority: file('ca.pem'), certificate: file('server.pem'), key: file('server.key') };
}
