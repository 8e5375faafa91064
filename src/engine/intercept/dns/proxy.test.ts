import dnsPacket, { type Answer as Record, type DecodedPacket } from 'dns-packet';
import { describe, expect, it } from 'vitest';
import type { Permit } from '../../../model/verdict.ts';
import { parseAddress, type Address } from '../../../platform/pure/address.ts';
import { createBindings, type Bindings } from '../../bindings.ts';
import type { Judge } from '../../judge.ts';
import type { Act } from '../../protocols/codec.ts';
import { createDnsProxy, type DnsOutcome, type DnsProxy, type DnsProxyParts } from './proxy.ts';
import { parseAnswer, type Message } from './wire.ts';

function address(text: string): Address {
  const parsed = parseAddress(text);
  if (parsed === undefined) throw new Error(text);
  return parsed;
}

const RESOLVER = { address: address('192.0.2.53'), port: 53 };

interface Stage {
  readonly proxy: DnsProxy;
  readonly bindings: Bindings;
  /** What the resolver was asked. */
  readonly asked: string[];
  readonly acts: Act[];
}

/** A proxy whose resolver (a fake, in this process) answers with these records, and which allows names under `allowed.test`. */
function stage(records: readonly Record[], rcode = 0, overrides: Partial<DnsProxyParts> = {}): Stage {
  const asked: string[] = [];
  const acts: Act[] = [];
  const bindings = createBindings(() => 0);
  const judge: Judge = (original, _dialled, act) => {
    acts.push(act);
    const access = { ...act, destination: { ...original, requestedName: undefined, names: [] } };
    const name = act.tags['dns.name'] ?? '';
    return /(^|\.)allowed\.test$/.test(name)
      ? { effect: 'allow', permit: {} as Permit, access }
      : { effect: 'deny', id: 'run-1', reason: 'no-rule', remedy: 'Add a rule.', access };
  };
  const proxy = createDnsProxy({
    client: {
      ask: (name, type) => {
        asked.push(name);
        const bytes = dnsPacket.encode({
          type: 'response',
          id: 1,
          flags: rcode,
          questions: [{ type: type === 1 ? 'A' : type === 65 ? ('HTTPS' as 'A') : 'AAAA', name }],
          answers: [...records],
        });
        // dns-packet does not know every type by name
        bytes.writeUInt16BE(type, 12 + name.length + 2);
        const message = parseAnswer(bytes);
        return message === undefined ? Promise.reject(new Error('fake')) : Promise.resolve(message);
      },
    },
    bindings,
    judge,
    mayAnswer: (_name, candidate) => candidate.text !== '169.254.169.254',
    virtualHosts: new Map([['host.allowed.test', [address('192.0.0.1')]]]),
    searchDomains: ['corp.example'],
    count: () => undefined,
    ...overrides,
  });
  return { proxy, bindings, asked, acts };
}

async function ask(
  proxy: DnsProxy,
  name: string,
  type: 'A' | 'AAAA' | 'PTR' | 'TXT' = 'A',
  transport: 'udp' | 'tcp' = 'udp',
): Promise<DecodedPacket & { rcode: string }> {
  const query = dnsPacket.encode({
    type: 'query',
    id: 99,
    flags: dnsPacket.RECURSION_DESIRED,
    questions: [{ type, name }],
    additionals: [
      {
        type: 'OPT',
        name: '.',
        udpPayloadSize: 1232,
        extendedRcode: 0,
        ednsVersion: 0,
        flags: 0,
        flag_do: false,
        options: [],
      },
    ],
  });
  const bytes = await proxy.answer(query, transport, RESOLVER);
  if (bytes === undefined) throw new Error('no answer');
  return dnsPacket.decode(bytes) as DecodedPacket & { rcode: string };
}

/** Without EDNS. */
function rawQuery(name: string, type: number): Buffer {
  const bytes = dnsPacket.encode({ type: 'query', id: 99, questions: [{ type: 'A', name }] });
  bytes.writeUInt16BE(type, bytes.length - 4);
  return bytes;
}

/** An SVCB record whose one hint is the metadata address. */
function svcbAnswer(name: string, type: number): Promise<Message> {
  const data = Buffer.from([0, 1, 0, 0, 4, 0, 4, 169, 254, 169, 254]);
  return Promise.resolve({
    id: 1,
    rcode: 0,
    truncated: false,
    question: { name, type },
    answers: [{ name, type, ttl: 30, data }],
    soa: undefined,
  });
}

describe('the DNS proxy', () => {
  it('forwards an allowed name, binds what it answered, and echoes the question as it was', async () => {
    const { proxy, bindings, asked } = stage([{ type: 'A', name: 'api.allowed.test', ttl: 30, data: '198.18.0.1' }]);
    const answer = await ask(proxy, 'API.allowed.test');
    expect(answer).toMatchObject({
      id: 99,
      rcode: 'NOERROR',
      questions: [{ name: 'API.allowed.test' }],
      answers: [{ data: '198.18.0.1' }],
    });
    expect(asked).toEqual(['api.allowed.test']);
    expect(bindings.namesOf(address('198.18.0.1'))).toEqual(['api.allowed.test']);
  });

  it('never asks for a denied name: REFUSED, with the reason', async () => {
    const { proxy, asked } = stage([]);
    const answer = await ask(proxy, 'c2VjcmV0.evil.test');
    expect(answer.rcode).toBe('REFUSED');
    expect(asked).toEqual([]);
    expect(JSON.stringify(answer.additionals)).toContain('18');
  });

  it('says NXDOMAIN to a name that only a search domain made, so that the client goes on', async () => {
    const { proxy, asked } = stage([]);
    expect((await ask(proxy, 'api.allowed.test.corp.example')).rcode).toBe('NXDOMAIN');
    expect(asked).toEqual([]);
  });

  it('follows aliases to their end and drops what is not of the chain', async () => {
    const { proxy, bindings } = stage([
      { type: 'CNAME', name: 'www.allowed.test', ttl: 30, data: 'edge.cdn.test' },
      { type: 'A', name: 'edge.cdn.test', ttl: 30, data: '198.18.0.2' },
      { type: 'A', name: 'else.test', ttl: 30, data: '198.18.0.66' },
    ]);
    const answer = await ask(proxy, 'www.allowed.test');
    expect(answer.answers?.map(({ type }) => type)).toEqual(['CNAME', 'A']);
    expect(bindings.namesOf(address('198.18.0.2'))).toEqual(['www.allowed.test']);
    expect(bindings.namesOf(address('198.18.0.66'))).toEqual([]);
  });

  it('removes addresses that the name may not answer with; none left is no name', async () => {
    const both = stage([
      { type: 'A', name: 'api.allowed.test', ttl: 30, data: '169.254.169.254' },
      { type: 'A', name: 'api.allowed.test', ttl: 30, data: '198.18.0.3' },
    ]);
    expect((await ask(both.proxy, 'api.allowed.test')).answers).toHaveLength(1);
    const only = stage([{ type: 'A', name: 'api.allowed.test', ttl: 30, data: '169.254.169.254' }]);
    const answer = await ask(only.proxy, 'api.allowed.test');
    expect(answer).toMatchObject({ rcode: 'NXDOMAIN', answers: [] });
    expect(only.bindings.namesOf(address('169.254.169.254'))).toEqual([]);
  });

  it('answers PTR from the bindings, and asks nobody', async () => {
    const { proxy, bindings, asked } = stage([]);
    bindings.bind('api.allowed.test', [address('198.18.0.1')], 60);
    expect((await ask(proxy, '1.0.18.198.in-addr.arpa', 'PTR')).answers).toMatchObject([{ data: 'api.allowed.test' }]);
    expect((await ask(proxy, '2.0.18.198.in-addr.arpa', 'PTR')).rcode).toBe('NXDOMAIN');
    expect(asked).toEqual([]);
  });

  it('answers for the host by itself', async () => {
    const { proxy, asked } = stage([]);
    expect((await ask(proxy, 'host.allowed.test')).answers).toMatchObject([{ data: '192.0.0.1' }]);
    expect((await ask(proxy, 'host.allowed.test', 'AAAA')).answers).toEqual([]);
    expect(asked).toEqual([]);
  });

  it('resolves for the engine what it answers itself, and asks nobody for it', async () => {
    const { proxy, asked } = stage([{ type: 'A', name: 'host.allowed.test', ttl: 30, data: '198.18.0.66' }]);
    expect((await proxy.resolve('host.allowed.test', 4)).map(({ text }) => text)).toEqual(['192.0.0.1']);
    expect(asked).toEqual([]);
  });

  it('cuts what is larger than a client takes, over UDP only', async () => {
    const many = Array.from({ length: 100 }, (_, index): Record => ({
      type: 'A',
      name: 'api.allowed.test',
      ttl: 30,
      data: `198.18.1.${index}`,
    }));
    const { proxy } = stage(many);
    expect(await ask(proxy, 'api.allowed.test')).toMatchObject({ flag_tc: true, answers: [] });
    expect((await ask(proxy, 'api.allowed.test', 'A', 'tcp')).answers).toHaveLength(100);
  });

  it('keeps the records of a type that has no addresses, though hints were taken out of them', async () => {
    const outcome: DnsOutcome[] = [];
    const { proxy } = stage([], 0, { count: (what) => outcome.push(what), client: { ask: svcbAnswer } });
    const bytes = await proxy.answer(rawQuery('api.allowed.test', 64), 'udp', RESOLVER);
    expect(bytes && parseAnswer(bytes)).toMatchObject({ rcode: 0, answers: [{ type: 64 }] });
    expect(bytes?.includes(Buffer.from([169, 254, 169, 254]))).toBe(false);
    expect(outcome).toEqual(['forwarded']);
  });

  it('says SERVFAIL where no server answers, where one refuses, and where something breaks', async () => {
    const unreachable = stage([], 0, { client: { ask: () => Promise.reject(new Error('unreachable')) } });
    expect((await ask(unreachable.proxy, 'api.allowed.test')).rcode).toBe('SERVFAIL');
    expect((await ask(stage([], 5).proxy, 'api.allowed.test')).rcode).toBe('SERVFAIL');
    const broken = stage([], 0, {
      judge: () => {
        throw new Error('a fault of ours');
      },
    });
    expect((await ask(broken.proxy, 'api.allowed.test')).rcode).toBe('SERVFAIL');
    expect(await broken.proxy.answer(Buffer.from([1, 2, 3]), 'udp', RESOLVER)).toBeUndefined();
    expect(broken.asked).toEqual([]);
  });

  it('lets a thousand queries wait, and has room again when they are answered', async () => {
    const waiting: (() => void)[] = [];
    const { proxy } = stage([], 0, {
      client: {
        ask: (_name, _type) =>
          new Promise<Message>((_resolve, reject) => {
            waiting.push(() => {
              reject(new Error('late'));
            });
          }),
      },
    });
    const first = Array.from({ length: 1000 }, (_, index) => ask(proxy, `n${index}.allowed.test`));
    expect(waiting).toHaveLength(1000);
    expect((await ask(proxy, 'api.allowed.test')).rcode).toBe('SERVFAIL');
    expect(waiting).toHaveLength(1000);
    for (const settle of waiting) settle();
    await Promise.all(first);
    void ask(proxy, 'api.allowed.test');
    expect(waiting).toHaveLength(1001);
    waiting[1000]?.();
  });

  it('reports what is no query, and says so', async () => {
    const { proxy, acts } = stage([]);
    const bytes = await proxy.answer(Buffer.from([1, 2, 1, 0, 0, 9]), 'udp', RESOLVER);
    expect(bytes?.readUInt16BE(2)).toBe(0x8081);
    expect(acts).toMatchObject([{ class: 'dns', doubt: 'malformed' }]);
  });
});
