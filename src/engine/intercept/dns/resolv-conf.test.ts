import { describe, expect, it } from 'vitest';
import { parseResolvConf } from './resolv-conf.ts';

function nameserversOf(text: string): readonly string[] {
  return parseResolvConf(text).nameservers.map((address) => address.text);
}

describe('parseResolvConf', () => {
  it('takes servers of both families and the search list', () => {
    const text = '# made by hand\nnameserver 192.0.2.53\nnameserver 2001:DB8::53\nsearch Corp.example. lab.example\n';
    expect(nameserversOf(text)).toEqual(['192.0.2.53', '2001:db8::53']);
    expect(parseResolvConf(text).search).toEqual(['corp.example', 'lab.example']);
  });

  it('takes three servers, as the C library does', () => {
    expect(nameserversOf([1, 2, 3, 4].map((host) => `nameserver 192.0.2.${host}`).join('\n'))).toEqual([
      '192.0.2.1',
      '192.0.2.2',
      '192.0.2.3',
    ]);
  });

  it.each([
    ['a scoped address', 'nameserver fe80::1%eth0'],
    ['a name', 'nameserver ns.example'],
    ['a short form', 'nameserver 127.1'],
    ['a port', 'nameserver 192.0.2.1:53'],
    ['nothing', 'nameserver'],
    ['a comment', '; nameserver 192.0.2.1'],
    ['another keyword', 'nameservers 192.0.2.1'],
  ])('leaves out %s', (_what, line) => {
    expect(nameserversOf(`${line}\nnameserver 192.0.2.9`)).toEqual(['192.0.2.9']);
  });

  it('lets the last of search and domain win, and leaves out what is no name', () => {
    expect(parseResolvConf('search a.example\ndomain b.example').search).toEqual(['b.example']);
    expect(parseResolvConf('search a.example . bad..example c.example').search).toEqual(['a.example', 'c.example']);
  });

  it('reads files with carriage returns, tabs and no end of line', () => {
    expect(nameserversOf('nameserver\t192.0.2.1\r\n  nameserver 192.0.2.2 # second')).toEqual([
      '192.0.2.1',
      '192.0.2.2',
    ]);
    expect(parseResolvConf('')).toEqual({ nameservers: [], search: [] });
  });
});
