/** TLS judged by its ClientHello: hellos as clients send them, however they arrive, and hellos that nobody should send. */
import { Duplex } from 'node:stream';
import tls from 'node:tls';
import { describe, expect, it } from 'vitest';
import { parseClientHello } from '../../src/engine/protocols/tls/client-hello.ts';
import { TLS } from '../../src/engine/protocols/tls/session.ts';
import type { Act } from '../../src/engine/protocols/codec.ts';
import { describeConformance, play, type Conversation, type Decide, type Outcome } from './harness.ts';

const decide: Decide = (act: Act) => (act.class === 'tls' && act.requestedName === 'allowed.test' ? 'allow' : 'deny');
const decideByAddress: Decide = (act) => (act.class === 'tcp' ? 'allow' : decide(act));

// ── hellos ───────────────────────────────────────────────────────────────────────────────────────────────────────────

const u8 = (value: number): Buffer => Buffer.from([value]);
const u16 = (value: number): Buffer => Buffer.from([value >> 8, value & 255]);
const u24 = (value: number): Buffer => Buffer.from([value >> 16, (value >> 8) & 255, value & 255]);
const sized16 = (...parts: readonly Buffer[]): Buffer => Buffer.concat([u16(Buffer.concat(parts).length), ...parts]);
const extension = (type: number, ...parts: readonly Buffer[]): Buffer => Buffer.concat([u16(type), sized16(...parts)]);
const name = (text: string, type = 0): Buffer => Buffer.concat([u8(type), sized16(Buffer.from(text, 'latin1'))]);
const sni = (...texts: readonly string[]): Buffer => extension(0, sized16(...texts.map((text) => name(text))));
const alpn = (...protocols: readonly string[]): Buffer =>
  extension(16, sized16(...protocols.map((protocol) => Buffer.concat([u8(protocol.length), Buffer.from(protocol)]))));
const keyShare = (length: number): Buffer => extension(51, sized16(u16(0x11ec), sized16(Buffer.alloc(length, 7))));

function hello(
  extensions: Buffer | undefined,
  { version = 0x0303, session = 32, suites = 4, compressions = 1 } = {},
): Buffer {
  const body = Buffer.concat([
    u16(version),
    Buffer.alloc(32, 1),
    u8(session),
    Buffer.alloc(session, 2),
    u16(suites),
    Buffer.alloc(suites, 3),
    u8(compressions),
    Buffer.alloc(compressions),
    ...(extensions === undefined ? [] : [sized16(extensions)]),
  ]);
  return Buffer.concat([u8(1), u24(body.length), body]);
}

/** One record for each piece of `lengths`, and one for the rest. */
function records(message: Buffer, lengths: readonly number[] = []): Buffer {
  const parts: Buffer[] = [];
  let at = 0;
  for (const length of [...lengths, message.length]) {
    const piece = message.subarray(at, at + length);
    if (piece.length > 0) parts.push(u8(0x16), u16(0x0301), sized16(piece));
    at += length;
  }
  return Buffer.concat(parts);
}

/** What this Node's OpenSSL really sends. */
function realHello(options: tls.ConnectionOptions): Buffer {
  const sent: Buffer[] = [];
  const wire = new Duplex({
    read: () => undefined,
    write: (chunk: Buffer, _encoding, done) => {
      sent.push(chunk);
      done();
    },
  });
  const socket = tls.connect({ ...options, socket: wire });
  socket.on('error', () => undefined);
  socket.destroy();
  return Buffer.concat(sent);
}

const ALLOWED = hello(Buffer.concat([sni('allowed.test'), alpn('h2', 'http/1.1'), keyShare(32)]));
const LARGE = hello(Buffer.concat([keyShare(1216), sni('allowed.test'), extension(35, Buffer.alloc(900))]));
const EARLY_DATA = Buffer.concat([u8(0x17), u16(0x0303), sized16(Buffer.from('early data'))]);

function conversation(title: string, input: Buffer, by: Decide = decide): Conversation {
  return { name: title, input, decide: by };
}

const CONVERSATIONS: readonly Conversation[] = [
  conversation('allowed', records(ALLOWED)),
  conversation('denied', records(hello(sni('denied.test')))),
  conversation('with early data', Buffer.concat([records(ALLOWED), EARLY_DATA])),
  conversation('denied with early data', Buffer.concat([records(hello(sni('denied.test'))), EARLY_DATA])),
  conversation('in three records', records(ALLOWED, [1, 40])),
  conversation('in records that split its length', records(ALLOWED, [2, 1, 1])),
  conversation('with a post-quantum key share', records(LARGE)),
  conversation('with a post-quantum key share in records', records(LARGE, [500, 500])),
  conversation('without a name', records(hello(alpn('h2')))),
  conversation('without extensions', records(hello(undefined))),
  conversation('with two names', records(hello(sni('allowed.test', 'denied.test')))),
  conversation(
    'with two names, and an address rule',
    records(hello(sni('allowed.test', 'denied.test'))),
    decideByAddress,
  ),
  conversation('unreadable', records(hello(sni('allowed.test'), { suites: 3 }))),
  conversation(
    'unreadable, and an address rule',
    Buffer.concat([records(hello(sni('allowed.test'), { suites: 3 })), EARLY_DATA]),
    decideByAddress,
  ),
];

const TINY_RECORDS = records(
  hello(Buffer.concat([keyShare(1200), sni('allowed.test')])),
  new Array<number>(1000).fill(1),
);
const BOUNDED: readonly Conversation[] = [
  conversation(
    'a hello of a megabyte',
    records(Buffer.concat([u8(1), u24(1 << 20), Buffer.alloc(1 << 20)]), new Array<number>(100).fill(16_000)),
  ),
  conversation('records of one byte', TINY_RECORDS),
];

describeConformance(TLS, CONVERSATIONS, BOUNDED);

function outcome(input: Buffer, by: Decide = decide): Outcome {
  return play(TLS, conversation('', input, by), { pieces: [input] });
}

describe('a hello that clients send', () => {
  it('of this Node is understood', () => {
    const input = realHello({ servername: 'allowed.test', ALPNProtocols: ['h2', 'http/1.1'] });
    expect(parseClientHello(input)).toEqual({
      length: input.length,
      serverName: 'allowed.test',
      alpn: ['h2', 'http/1.1'],
      offersEncryptedHello: false,
    });
    expect(outcome(input)).toMatchObject({
      acts: ['tls allowed.test (not-inspected) allow'],
      ending: 'spliced',
      upstream: input.toString('latin1'),
    });
  });

  it('of this Node without a name is one without a name', () => {
    expect(outcome(realHello({ host: '198.18.0.1' })).acts).toEqual(['tls - (not-inspected) deny']);
  });

  it('tells its names, protocols and encrypted hello as tags', () => {
    let tags: Act['tags'] = {};
    outcome(
      records(hello(Buffer.concat([sni('Allowed.TEST'), alpn('h2', 'x'), extension(0xfe0d, Buffer.alloc(8))]))),
      (act) => {
        ({ tags } = act);
        return 'deny';
      },
    );
    expect(tags).toEqual({ 'tls.sni': 'allowed.test', 'tls.alpn': 'h2,x', 'tls.ech': 'offered' });
  });

  it('is refused by a fatal alert, access_denied', () => {
    expect(Buffer.from(outcome(records(hello(sni('denied.test')))).downstream, 'latin1').toString('hex')).toBe(
      '15030300020231',
    );
  });
});

describe('a hello that nobody should send', () => {
  const extensions = (...parts: readonly Buffer[]): Buffer => records(hello(Buffer.concat(parts)));
  const allowed = records(ALLOWED);
  const withByte = (at: number, byte: number): Buffer =>
    Buffer.concat([allowed.subarray(0, at), u8(byte), allowed.subarray(at + 1)]);
  it.each<readonly [string, Buffer, 'malformed' | 'ambiguous-name' | 'too-large']>([
    ['two names in one list', extensions(sni('allowed.test', 'denied.test')), 'ambiguous-name'],
    ['the same name twice', extensions(sni('allowed.test', 'allowed.test')), 'ambiguous-name'],
    ['two extensions of names', extensions(sni('allowed.test'), sni('denied.test')), 'ambiguous-name'],
    [
      'two extensions of names, apart',
      extensions(sni('allowed.test'), alpn('h2'), sni('denied.test')),
      'ambiguous-name',
    ],
    [
      'a name and one of another type',
      extensions(extension(0, sized16(name('allowed.test'), name('denied.test', 1)))),
      'ambiguous-name',
    ],
    ['a name of another type', extensions(extension(0, sized16(name('allowed.test', 1)))), 'malformed'],
    ['an empty name', extensions(sni('')), 'malformed'],
    ['an empty list of names', extensions(extension(0, sized16())), 'malformed'],
    ['an empty extension of names', extensions(extension(0)), 'malformed'],
    ['a list longer than its extension', extensions(extension(0, u16(99), name('allowed.test'))), 'malformed'],
    ['a list shorter than its extension', extensions(extension(0, sized16(name('allowed.test')), u8(0))), 'malformed'],
    ['a name with a NUL', extensions(sni('allowed.test\0.denied.test')), 'malformed'],
    ['a name with a blank', extensions(sni('allowed.test ')), 'malformed'],
    ['a name with a port', extensions(sni('allowed.test:443')), 'malformed'],
    ['a name beyond ASCII', extensions(sni('\xe4llowed.test')), 'malformed'],
    ['an address in octal', extensions(sni('0306.022.0.1')), 'malformed'],
    ['two lists of protocols', extensions(sni('allowed.test'), alpn('h2'), alpn('h2')), 'malformed'],
    ['an empty protocol', extensions(sni('allowed.test'), alpn('')), 'malformed'],
    ['an extension cut off', extensions(sni('allowed.test'), u16(0), u8(9)), 'malformed'],
    ['an extension longer than the rest', extensions(sni('allowed.test'), u16(5), u16(500)), 'malformed'],
    ['a session id too long', records(hello(sni('allowed.test'), { session: 33 })), 'malformed'],
    ['an odd length of suites', records(hello(sni('allowed.test'), { suites: 3 })), 'malformed'],
    ['no suites', records(hello(sni('allowed.test'), { suites: 0 })), 'malformed'],
    ['no compressions', records(hello(sni('allowed.test'), { compressions: 0 })), 'malformed'],
    ['a version of SSL 2', records(hello(sni('allowed.test'), { version: 0x0002 })), 'malformed'],
    [
      'bytes after the extensions',
      records(Buffer.concat([u8(1), u24(ALLOWED.length - 4 + 1), ALLOWED.subarray(4), u8(0)])),
      'malformed',
    ],
    ['another message in the same record', records(Buffer.concat([ALLOWED, hello(sni('denied.test'))])), 'malformed'],
    ['another message first', withByte(5, 2), 'malformed'],
    ['a record of another version', withByte(2, 9), 'malformed'],
    [
      'another record within the hello',
      Buffer.concat([records(ALLOWED.subarray(0, 40)), EARLY_DATA, records(ALLOWED.subarray(40))]),
      'malformed',
    ],
    ['an empty record', Buffer.concat([u8(0x16), u16(0x0301), u16(0), allowed]), 'malformed'],
    ['a record too long', Buffer.concat([u8(0x16), u16(0x0301), u16(16_385)]), 'malformed'],
    [
      'a hello in the form of SSL 2',
      Buffer.from('802e0100020015000000100100800300800700c0030080060040', 'hex'),
      'malformed',
    ],
    ['a hello of TLS in the form of SSL 2', Buffer.from('802e01030300150000001001008003', 'hex'), 'malformed'],
    [
      'a hello too large',
      records(hello(Buffer.concat([sni('allowed.test'), extension(21, Buffer.alloc(16_300))])), [16_000]),
      'too-large',
    ],
  ])('is allowed by no rule for TLS: %s', (_title, input, doubt) => {
    expect(TLS.detect(input)).toBe('yes');
    const refused = outcome(input, (act) => (act.class === 'tls' ? 'allow' : 'deny'));
    expect(refused).toMatchObject({ acts: [`tcp - (${doubt}) deny`], upstream: '', ending: 'closed' });
    // and passes as it came where an address rule lets anything through
    expect(outcome(input, decideByAddress)).toMatchObject({ upstream: input.toString('latin1'), ending: 'spliced' });
  });
});
