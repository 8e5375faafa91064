/**
 * From the head of a request to the act that is judged. What a field could make the server take for another method or path
 * cannot be told, and its tag is absent. A head after which anything may follow (a tunnel) is an act of class `tcp`: only a
 * rule that allows the flow whatever is inside lets it through.
 */
import { NO_OPERATION, type ClassName, type Doubt, type Operation } from '../../../model/access.ts';
import { canonicalPath } from '../../../platform/pure/path.ts';
import type { Act } from '../codec.ts';
import type { RequestHead } from './request-head.ts';

const OPERATIONS: ReadonlyMap<string, Operation> = new Map<string, Operation>([
  ['GET', { name: 'GET', type: 'Read' }],
  ['HEAD', { name: 'HEAD', type: 'Read' }],
  ['OPTIONS', { name: 'OPTIONS', type: 'Read' }],
  ['POST', { name: 'POST', type: 'Write' }],
  ['PUT', { name: 'PUT', type: 'Write' }],
  ['PATCH', { name: 'PATCH', type: 'Write' }],
  ['DELETE', { name: 'DELETE', type: 'Delete' }],
]);

export function actOfRequest(head: RequestHead, originalPort: number): Act {
  const { method, host } = head;
  const tags = tagsOf(head);
  if (method === 'CONNECT' || head.upgrade === 'other') return wholeFlow('tunnel', tags);
  // another port's authority: which of the two the server goes by nobody can tell
  if (head.port !== 0 && head.port !== originalPort) return wholeFlow('ambiguous-name', tags);
  const isWebSocket = head.upgrade === 'websocket';
  return {
    class: isWebSocket ? 'websocket' : ('http' satisfies ClassName),
    tags,
    operation: head.methodOverridden ? NO_OPERATION : operationOf(method, isWebSocket),
    requestedName: host,
    doubt: undefined,
  };
}

/** The flow as one act, of which no more can be told. */
export function wholeFlow(doubt: Doubt, tags: Act['tags']): Act {
  return { class: 'tcp', tags, operation: NO_OPERATION, requestedName: undefined, doubt };
}

function operationOf(method: string, isWebSocket: boolean): Operation {
  // what follows on a WebSocket reads and writes
  if (isWebSocket) return { name: method, type: undefined };
  return OPERATIONS.get(method) ?? { name: method, type: undefined };
}

function tagsOf(head: RequestHead): Act['tags'] {
  const { method, host, target, traceparent } = head;
  const known = head.pathOverridden ? undefined : canonicalPath(target);
  // the usual request has one shape
  if (known?.query === '' && host !== undefined && traceparent === undefined && !head.methodOverridden) {
    return { 'http.method': method, 'http.host': host, 'http.path': known.path, 'http.url': host + known.path };
  }
  const tags: Record<string, string> = {};
  if (!head.methodOverridden) tags['http.method'] = method;
  if (host !== undefined) tags['http.host'] = host;
  if (known !== undefined) {
    tags['http.path'] = known.path;
    if (host !== undefined) tags['http.url'] = host + known.path;
    if (known.query !== '') tags['http.query_params'] = known.query;
  }
  if (traceparent !== undefined) tags['traceparent'] = traceparent;
  return tags;
}
