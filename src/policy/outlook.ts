/**
 * What can be said of a connection before a byte of it was seen. `allowed`: an address rule lets it through whatever is
 * said on it (a narrower deny rule may still stop what is said), so the destination may be dialled at once.
 * `denied`: no words could change it. `look`: it depends on what is said.
 */
import { NO_OPERATION, NO_TAGS, type Access, type Destination } from '../model/access.ts';
import type { Snapshot } from './compile.ts';
import { couldMatch, findRules, type RuleIndex } from './rule-index.ts';

export type Outlook = 'allowed' | 'denied' | 'look';

export function outlook(
  snapshot: Snapshot,
  to: Pick<Destination, 'address' | 'port' | 'names'>,
  transport: 'tcp' | 'udp',
): Outlook {
  const { deny, ceiling, namespace } = snapshot.enforced;
  const access: Access = {
    class: transport,
    tags: NO_TAGS,
    operation: NO_OPERATION,
    destination: { ...to, requestedName: undefined },
    doubt: 'unidentified',
  };
  if (deny.rules.length > 0 && findRules(deny, access).yes !== undefined) return 'denied';
  const scopes: readonly RuleIndex[] = [ceiling, namespace].filter((index) => index !== undefined);
  if (scopes.every((index) => findRules(index, access).yes !== undefined)) return 'allowed';
  return scopes.every((index) => couldMatch(index, transport, to.address, to.port)) ? 'look' : 'denied';
}
