/** Sallyport: `sallyport run -- sh` in a box that has a way to the origin and no redirection but Sallyport's own. */
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ORIGIN_NAME, widenPorts } from '../network.ts';
import { capture, processTree, start } from '../processes.ts';
import { openShell } from '../shell.ts';
import type { Peer } from './peer.ts';

/** What starts Sallyport when the options name nothing else. */
export const SOURCE_ENTRY = fileURLToPath(new URL('../../../cmd/sallyport.ts', import.meta.url));

export const POLICY = `apiVersion: sallyport.dev/v1alpha1
kind: SecurityPolicy
metadata: {name: bench}
spec:
  podSelector: {}
  onViolation: Block
  default: Deny
  allow:
  - name: origin
    http: {hosts: [${ORIGIN_NAME}], paths: ["/1k*"], methods: [GET]}
`;

/** An argument of the box's shell by which it is told from the firewall's own processes. */
const MARKER = 'sallyport-bench-command';

export function sallyport(entry: string): Peer {
  return {
    name: 'Sallyport',
    records: 'every denial and 1 % of the allowed to a file; Prometheus metrics on',
    open: async (box, place) => {
      if (!existsSync(entry)) throw new Error(`${entry} does not exist`);
      const version = (await capture([process.execPath, entry, '--version'])).trim();
      const policy = join(place.directory, 'policy.yaml');
      const recordFile = join(place.directory, 'records.log');
      writeFileSync(policy, POLICY);
      const report = ['--log', recordFile, '--log-allowed', '0.01', '--metrics', '127.0.0.1:9104'];
      const command = ['taskset', '-c', String(place.loadCore), 'sh', '-s', MARKER];
      const running = start(
        place.proxyCore,
        [...[...box.enter, process.execPath, entry], ...['run', '--policy', policy, ...report, '--', ...command]],
        { stdout: 'pipe' },
      );
      const shell = openShell(running);
      const processes = (): { readonly firewall: readonly number[]; readonly command: number } => {
        const { firewall, command } = processTree(running.pid, (argv) => argv[0] === 'sh' && argv[2] === MARKER);
        if (command === undefined) throw new Error('cannot tell the processes of Sallyport from those of the command');
        return { firewall, command };
      };
      try {
        await shell.run(['true']);
        // Inside, /proc/sys is read-only: that of the harness is not, and shows the network namespace that it enters.
        await widenPorts(['nsenter', '--target', String(processes().command), '--net']);
      } catch (error) {
        await shell.close();
        throw error;
      }
      const pids = (): readonly number[] => processes().firewall;
      return { version, shell, pids, recordFile, close: shell.close };
    },
  };
}
