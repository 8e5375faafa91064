/**
 * One TLS connection, not decrypted: judged by what its ClientHello says, all of it, before a byte goes upstream. A hello
 * that cannot be read, or names two hosts, is judged as the flow whatever is inside: no rule for TLS can allow it.
 */
import { NO_OPERATION, NO_TAGS, type Doubt } from '../../../model/access.ts';
import { canonicalHost } from '../../../platform/pure/host.ts';
import type { Act, Codec, Detection, SessionIo } from '../codec.ts';
import { openJudgedOnce } from '../judged-once.ts';
import { parseClientHello, type ClientHello } from './client-hello.ts';

export const TLS: Codec = { name: 'tls', detect, open: (io) => openJudgedOnce(io, readAct, refuse) };

/** A record of type alert, two bytes: fatal, access_denied. */
const ACCESS_DENIED = Buffer.from('15030300020231', 'hex');

function detect(bytes: Buffer): Detection {
  const [first, second, third] = bytes;
  if (first === 0x16) return second === undefined ? 'more' : second === 3 ? 'yes' : 'no';
  // a hello in the form of SSL 2, which carries no name and which old servers still understand
  if (first === undefined || first < 0x80 || bytes.length < 3)
    return first === undefined || first >= 0x80 ? 'more' : 'no';
  if (third !== 1 || bytes.length < 5) return third === 1 ? 'more' : 'no';
  const isVersion = bytes[3] === 3 || (bytes[3] === 0 && bytes[4] === 2);
  return isVersion ? 'yes' : 'no';
}

function readAct(bytes: Buffer): Act | 'more' {
  const hello = parseClientHello(bytes);
  if (hello === 'more') return 'more';
  if (typeof hello === 'string') return unreadable(hello, NO_TAGS);
  const requestedName = hello.serverName === undefined ? undefined : canonicalHost(hello.serverName);
  const tags = tagsOf(hello, requestedName);
  if (hello.serverName !== undefined && requestedName === undefined) return unreadable('malformed', tags);
  return { class: 'tls', tags, operation: NO_OPERATION, requestedName, doubt: 'not-inspected' };
}

function unreadable(doubt: Doubt, tags: Act['tags']): Act {
  return { class: 'tcp', tags, operation: NO_OPERATION, requestedName: undefined, doubt };
}

function tagsOf(hello: ClientHello, requestedName: string | undefined): Act['tags'] {
  const tags: Record<string, string> = {};
  const sni = requestedName ?? hello.serverName;
  if (sni !== undefined) tags['tls.sni'] = sni;
  if (hello.alpn.length > 0) tags['tls.alpn'] = hello.alpn.join(',');
  if (hello.offersEncryptedHello) tags['tls.ech'] = 'offered';
  return tags;
}

function refuse(io: SessionIo): void {
  io.toDownstream(ACCESS_DENIED);
  io.close();
}
