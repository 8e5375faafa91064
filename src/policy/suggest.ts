/**
 * The smallest rule that would allow an access, as a line of YAML for the `allow` list of a policy. `undefined` where none
 * should: a query that nobody could read has no name, and a rule for any name would open DNS to everything.
 */
import type { Access } from '../model/access.ts';
import { isMethod, isPathPattern } from '../platform/pure/patterns.ts';
import { classifyAddress } from './match/address-class.ts';

export function suggestRule(access: Access): string | undefined {
  const { destination, tags } = access;
  const { address, port, requestedName, names } = destination;
  const name = requestedName ?? names[0];
  // an address of the machine or the platform needs to be named beside the host
  const special =
    name !== undefined && name !== address.text && classifyAddress(address, []) === 'special' && port !== 0;
  const cidrs = special ? `, cidrs: [${quote(`${address.text}/${address.family === 4 ? 32 : 128}`)}]` : '';
  switch (access.class) {
    case 'dns': {
      const asked = tags['dns.name'];
      if (asked === undefined) return undefined;
      // asked for to connect: the rule for the connection lets the name be asked for too
      if (tags['dns.type'] === 'A' || tags['dns.type'] === 'AAAA') return `- tls: {hosts: [${quote(asked)}]}`;
      return `- dns: {names: [${quote(asked)}], types: [${quote(tags['dns.type'] ?? 'A')}]}`;
    }
    case 'icmp':
      return `- icmp: {cidrs: [${quote(address.text)}]}`;
    case 'tls':
      if (name !== undefined && (access.doubt === undefined || access.doubt === 'not-inspected'))
        return `- tls: {hosts: [${quote(name)}], ports: [${port}]${cidrs}}`;
      break;
    case 'http':
    case 'websocket': {
      // what this version cannot look into, it can only let through whole
      if (access.doubt !== undefined || name === undefined) break;
      const path = tags['http.path'];
      // decoded, it may hold what no pattern can
      const paths = path === undefined || !isPathPattern(path) ? '' : `, paths: [${quote(path)}]`;
      const method = tags['http.method'];
      const methods = method === undefined || !isMethod(method) ? '' : `, methods: [${quote(method)}]`;
      return `- http: {hosts: [${quote(name)}], ports: [${port}]${paths}${methods}${cidrs}}`;
    }
    case 'tcp':
    case 'udp':
    case 'quic':
      break;
    default:
      access.class satisfies never;
  }
  const block = access.class === 'udp' || access.class === 'quic' ? 'udp' : 'tcp';
  const bound = names[0];
  return bound === undefined || special
    ? `- ${block}: {cidrs: [${quote(address.text)}], ports: [${port}]}`
    : `- ${block}: {hosts: [${quote(bound)}], ports: [${port}]}`;
}

/** A scalar of YAML's flow style; quoted as JSON where it is more than a plain word. */
function quote(text: string): string {
  return /^[a-z][a-z0-9./-]*$/i.test(text) && !/^(true|false|null|yes|no|on|off|y|n)$/i.test(text)
    ? text
    : JSON.stringify(text);
}
