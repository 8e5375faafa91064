import { describe, expect, it } from 'vitest';
import { NO_OPERATION, type Access } from '../model/access.ts';
import { parseAddress } from '../platform/pure/address.ts';
import { compileSnapshot } from './compile.ts';
import { decide } from './decide.ts';
import { suggestRule } from './suggest.ts';

function query(tags: Access['tags'], doubt?: Access['doubt']): Access {
  const address = parseAddress('192.0.2.53');
  if (address === undefined) throw new Error('no address');
  return {
    class: 'dns',
    tags,
    operation: NO_OPERATION,
    destination: { address, port: 53, requestedName: undefined, names: [] },
    doubt,
  };
}

describe('suggestRule', () => {
  it('opens DNS to no name for a query that nobody could read', () => {
    const unreadable = query({}, 'malformed');
    expect(suggestRule(unreadable)).toBeUndefined();
    const { enforced } = decide(compileSnapshot({ policies: [], installDefault: 'Block' }), unreadable);
    expect(enforced).toMatchObject({ effect: 'deny', reason: 'malformed' });
  });

  it('names what was asked for', () => {
    expect(suggestRule(query({ 'dns.name': 'a.test', 'dns.type': 'TXT' }))).toBe(
      '- dns: {names: [a.test], types: [TXT]}',
    );
    expect(suggestRule(query({ 'dns.name': 'a.test', 'dns.type': 'A' }))).toBe('- tls: {hosts: [a.test]}');
  });
});
