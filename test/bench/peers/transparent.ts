/** What the peers have in common: one process on the proxy's core, in front of it a box whose load is redirected. */
import { join } from 'node:path';
import { intercept, LISTENER_PORT, listens, LOAD_USER, type Box } from '../network.ts';
import { ready, start } from '../processes.ts';
import { openShell, type Shell } from '../shell.ts';
import type { OpenPeer, Place } from './peer.ts';

/** A shell in the box under the load's user, who may read the harness wherever it lies. */
export function openLoadShell(box: Box, place: Place): Shell {
  const reads = ['--inh-caps', '+dac_read_search', '--ambient-caps', '+dac_read_search'];
  // the parent-death signal is forgotten with a change of user, so it is set again
  const user = ['setpriv', '--reuid', String(LOAD_USER), '--clear-groups', ...reads, '--pdeathsig', 'KILL'];
  const argv = [...box.enter, ...user, 'sh'];
  return openShell(start(place.loadCore, argv, { stdout: 'pipe' }));
}

export interface Program {
  readonly version: string;
  readonly argv: readonly string[];
  /** Where its records go: to a file it opens itself, or to its stdout. */
  readonly recordFile: string;
  readonly recordsOnStdout: boolean;
}

/** Starts a proxy that listens on LISTENER_PORT, and the redirection to it once it does. */
export async function openTransparent(box: Box, place: Place, program: Program): Promise<OpenPeer> {
  const argv = [...box.enter, ...program.argv];
  const stdout = program.recordsOnStdout ? program.recordFile : join(place.directory, 'stdout.log');
  const proxy = start(place.proxyCore, argv, { stdout: { file: stdout } });
  let shell: Shell | undefined;
  const close = async (): Promise<void> => {
    await shell?.close();
    await proxy.close();
  };
  try {
    await ready(program.argv.join(' '), proxy, () => listens(box, '-tln', `127.0.0.1:${String(LISTENER_PORT)}`));
    await intercept(box);
    shell = openLoadShell(box, place);
  } catch (error) {
    await close();
    throw error;
  }
  return { version: program.version, shell, pids: () => [proxy.pid], recordFile: program.recordFile, close };
}
