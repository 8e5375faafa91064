import dgram from 'node:dgram';
import { once } from 'node:events';
import { afterEach, describe, expect, it } from 'vitest';
import type { Access } from '../model/access.ts';
import type { Permit } from '../model/verdict.ts';
import { parseAddress, type Address } from '../platform/pure/address.ts';
import { createReporter } from '../report/reporter.ts';
import type { Judge } from './judge.ts';
import { createUdpHandler, type UdpHandler, type UdpParts } from './udp.ts';

function address(text: string): Address {
  const parsed = parseAddress(text);
  if (parsed === undefined) throw new Error(text);
  return parsed;
}

const CLIENT = { address: address('192.0.0.2'), port: 4000 };
const TO = { address: address('198.18.0.1'), port: 9000 };

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

interface Stage {
  readonly handler: UdpHandler;
  readonly judged: string[];
  readonly refused: number[];
  readonly answers: { readonly from: string; readonly to: string; readonly text: string }[];
  readonly errors: string[];
}

function stage(effect: 'allow' | 'deny', connect: UdpParts['connect']): Stage {
  const judged: string[] = [];
  const refused: number[] = [];
  const answers: Stage['answers'] = [];
  const errors: string[] = [];
  const judge: Judge = (original, _dialled, act) => {
    judged.push(act.class);
    const access: Access = { ...act, destination: { ...original, requestedName: undefined, names: [] } };
    return effect === 'allow'
      ? { effect, permit: {} as Permit, access }
      : { effect, id: 'x', reason: 'no-rule', remedy: '', access };
  };
  const reporter = createReporter({ sink: undefined, recordAllowed: 0, snapshotVersion: '', suggest: () => '' });
  const handler = createUdpHandler({
    reporter: { ...reporter, upstreamError: (kind) => errors.push(kind) },
    judge,
    dns: { answer: () => Promise.resolve(undefined), resolve: () => Promise.resolve([]) },
    connect,
    answer: (from, to, payload) =>
      answers.push({ from: from.address.text, to: to.address.text, text: Buffer.from(payload).toString() }),
    refuse: (_datagram, length) => refused.push(length),
  });
  closers.push(handler.close);
  return { handler, judged, refused, answers, errors };
}

function send({ handler }: Stage, text: string, source = CLIENT): void {
  handler.handle({ payload: Buffer.from(text), source, original: TO });
}

/** A server of loopback that echoes, and sockets connected to it whatever the destination is. */
async function startEcho(): Promise<{ readonly connect: UdpParts['connect']; readonly heard: string[] }> {
  const heard: string[] = [];
  const server = dgram.createSocket('udp4');
  server.on('message', (message, from) => {
    heard.push(message.toString());
    server.send(`echo ${message.toString()}`, from.port, from.address);
  });
  server.bind(0, '127.0.0.1');
  await once(server, 'listening');
  closers.push(() => server.close());
  const connect = async (): Promise<dgram.Socket> => {
    const socket = dgram.createSocket('udp4');
    socket.connect(server.address().port, '127.0.0.1');
    await once(socket, 'connect');
    return socket;
  };
  return { connect, heard };
}

describe('datagrams', () => {
  it('are judged once a flow, go on in order, and are answered in the destination’s name', async () => {
    const { connect, heard } = await startEcho();
    const at = stage('allow', connect);
    send(at, 'one');
    send(at, 'two');
    await expect.poll(() => at.answers.length).toBe(2);
    send(at, 'three');
    await expect.poll(() => at.answers.length).toBe(3);
    expect(heard).toEqual(['one', 'two', 'three']);
    expect(at.answers[0]).toEqual({ from: '198.18.0.1', to: '192.0.0.2', text: 'echo one' });
    expect(at.judged).toEqual(['udp']);
    send(at, 'another flow', { ...CLIENT, port: 4001 });
    await expect.poll(() => heard.length).toBe(4);
    expect(at.judged).toEqual(['udp', 'udp']);
  });

  it('that are denied are refused each, reported once, and nothing is dialled', () => {
    let dialled = 0;
    const at = stage('deny', () => {
      dialled += 1;
      return Promise.reject(new Error('no'));
    });
    send(at, 'one');
    send(at, 'second');
    expect(at.refused).toEqual([3, 6]);
    expect(at.judged).toEqual(['udp']);
    expect(dialled).toBe(0);
  });

  it('to where no socket can be connected are lost, and nothing else is', async () => {
    const at = stage('allow', () => Promise.reject(Object.assign(new Error('no route'), { code: 'ENETUNREACH' })));
    send(at, 'one');
    await expect.poll(() => at.errors).toEqual(['ENETUNREACH']);
  });

  it('whose socket fails on sending end their flow alone', async () => {
    // not connected: send without a port throws
    const at = stage('allow', () => Promise.resolve(dgram.createSocket('udp4')));
    send(at, 'one');
    await expect.poll(() => at.errors.length).toBe(1);
  });
});
