/**
 * Which protocol? Input: the first bytes of the application on a TCP connection. Each codec looks in turn, and one that
 * cannot tell yet keeps the later ones from guessing. `none`: no protocol of ours, plain TCP.
 */
import type { Codec } from '../protocols/codec.ts';
import { CLEARTEXT_HTTP2 } from '../protocols/http/cleartext-http2.ts';
import { HTTP1 } from '../protocols/http/session.ts';
import { TLS } from '../protocols/tls/session.ts';

/** A protocol more is an entry more. Before HTTP/1 its successor, whose preface looks like a request. */
const CODECS: readonly Codec[] = [TLS, CLEARTEXT_HTTP2, HTTP1];

export function identify(bytes: Buffer): Codec | 'more' | 'none' {
  for (const codec of CODECS) {
    const detection = codec.detect(bytes);
    if (detection === 'yes') return codec;
    if (detection === 'more') return 'more';
  }
  return 'none';
}
