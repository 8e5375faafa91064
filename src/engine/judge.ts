/**
 * From an act (what the bytes say) to an answer (what happens): settles the destination, decides, reports. The address
 * that is judged is the address that is dialled: the original destination where it may stand for the requested name,
 * else one that the firewall resolves for that name itself. A name that does not resolve to a permitted address: denied.
 */
import type { Access, Destination } from '../model/access.ts';
import type { Reason, Verdict } from '../model/verdict.ts';
import { parseAddress, type Address } from '../platform/pure/address.ts';
import type { Snapshot } from '../policy/compile.ts';
import { decide, decideName } from '../policy/decide.ts';
import type { Reporter } from '../report/reporter.ts';
import type { Bindings } from './bindings.ts';
import type { Act, Answer } from './protocols/codec.ts';

export interface JudgeParts {
  readonly snapshot: () => Snapshot;
  readonly bindings: Bindings;
  readonly reporter: Reporter;
  /** Addresses of a name as our own resolvers give them, less those that the name may not answer with. */
  readonly resolve: (name: string, family: 4 | 6) => Promise<readonly Address[]>;
}

export type OriginalDestination = Pick<Destination, 'address' | 'port'>;

/** Where a connection leads, and under which name it was first asked for. */
export interface Dialled {
  readonly address: Address;
  readonly requestedName: string | undefined;
}

/**
 * `dialled`: where this connection already leads, if it does; an allowed answer for another place is `misdirected`.
 * Answers at once, or with `undefined` and later by `then` when a name has to be resolved.
 */
export type Judge = (
  original: OriginalDestination,
  dialled: Dialled | undefined,
  act: Act,
  then: (answer: Answer) => void,
) => Answer | undefined;

export function createJudge({ snapshot, bindings, reporter, resolve }: JudgeParts): Judge {
  function settle(access: Access, verdict: Verdict, dialled: Dialled | undefined): Answer {
    if (verdict.permit === undefined) return deny(access, verdict);
    if (dialled !== undefined && leadsElsewhere(dialled, access.destination))
      return deny(access, denial('misdirected'));
    reporter.report(access, verdict);
    return { effect: 'allow', permit: verdict.permit, access };
  }

  function deny(access: Access, verdict: Verdict): Answer {
    const id = reporter.report(access, verdict);
    return { effect: 'deny', id, reason: verdict.enforced.reason, remedy: reporter.remedy(access, verdict), access };
  }

  async function resolveAndSettle(
    original: OriginalDestination,
    name: string,
    act: Act,
    dialled: Dialled | undefined,
  ): Promise<Answer> {
    const { family } = original.address;
    const addresses = [...(await resolve(name, family))];
    if (addresses.length === 0) addresses.push(...(await resolve(name, family === 4 ? 6 : 4)));
    // the address that the application knows, where it proves to be one of the name's
    const address = addresses.find((candidate) => candidate.text === original.address.text) ?? addresses[0];
    if (address === undefined) {
      const names = bindings.namesOf(original.address);
      return deny(accessTo(act, { ...original, requestedName: name, names }), denial('name-unresolved'));
    }
    const bound = bindings.namesOf(address);
    const names = bound.includes(name) ? bound : [...bound, name];
    const access = accessTo(act, { address, port: original.port, requestedName: name, names });
    return settle(access, decide(snapshot(), access), dialled);
  }

  return (original, dialled, act, then) => {
    const { requestedName } = act;
    const names = bindings.namesOf(original.address);
    const access = accessTo(act, { address: original.address, port: original.port, requestedName, names });
    const verdict = decide(snapshot(), access);
    const settledAsDialled =
      verdict.permit !== undefined ||
      requestedName === undefined ||
      names.includes(requestedName) ||
      parseAddress(requestedName) !== undefined ||
      // perhaps the name is allowed at an address of its own
      decideName(snapshot(), requestedName, 'A').permit === undefined;
    if (settledAsDialled) return settle(access, verdict, dialled);
    resolveAndSettle(original, requestedName, act, dialled).then(then, () => {
      then(deny(access, denial('name-unresolved')));
    });
    return undefined;
  };
}

function leadsElsewhere(dialled: Dialled, to: Destination): boolean {
  if (dialled.address.text !== to.address.text) return true;
  return (
    dialled.requestedName !== undefined && to.requestedName !== undefined && dialled.requestedName !== to.requestedName
  );
}

function accessTo(act: Act, destination: Destination): Access {
  return { class: act.class, tags: act.tags, operation: act.operation, destination, doubt: act.doubt };
}

/** A denial of the engine's own, that no rule made. */
export function denial(reason: Reason): Verdict {
  const judgement = { effect: 'deny', reason, by: undefined } as const;
  return { enforced: judgement, shadow: judgement, permit: undefined };
}
