/** The servers that the demonstration's workload reaches, or tries to: each keeps what arrived, so that a denial can be held against it. */
import dgram from 'node:dgram';
import http from 'node:http';
import net from 'node:net';
import tls from 'node:tls';
import dnsPacket from 'dns-packet';
import { ADDRESSES } from './expected.ts';

export interface Arrivals {
  /** A line for everything that reached a server. */
  readonly lines: string[];
}

const ZONE: Readonly<Record<string, { readonly A: string; readonly AAAA?: string }>> = {
  'api.shop.test': { A: ADDRESSES.shop, AAAA: ADDRESSES.shop6 },
  'paste.test': { A: ADDRESSES.shop },
  'eu.pay.test': { A: ADDRESSES.pay },
  'drop.test': { A: ADDRESSES.attacker },
};

export async function startOrigins(): Promise<Arrivals> {
  const lines: string[] = [];
  const arrived = (line: string): void => {
    lines.push(line);
  };

  for (const address of [ADDRESSES.shop, ADDRESSES.shop6]) {
    const server = http.createServer((request, response) => {
      arrived(`http ${request.method ?? ''} ${request.headers.host ?? ''}${request.url ?? ''}`);
      response.end('3 orders\n');
    });
    await listening(server.listen(80, address));
  }
  const pskCallback = (): Buffer => Buffer.from('demo-key');
  for (const address of [ADDRESSES.pay, ADDRESSES.attacker]) {
    const server = tls.createServer({ ciphers: 'PSK', maxVersion: 'TLSv1.2', pskCallback }, (socket) => {
      socket.on('error', () => undefined);
      socket.on('data', () => socket.end('paid\n'));
    });
    server.on('connection', () => {
      arrived(`tls ${address}`);
    });
    await listening(server.listen(443, address));
  }
  await listening(net.createServer((socket) => socket.end('+READY\r\n')).listen(6379, ADDRESSES.cache));
  for (const address of [ADDRESSES.attacker, ADDRESSES.attacker6]) {
    const server = net.createServer((socket) => {
      arrived(`tcp ${address}`);
      socket.end('thank you\n');
    });
    await listening(server.listen(4444, address));
  }
  await startUdp(ADDRESSES.attacker, 9999, () => {
    arrived(`udp ${ADDRESSES.attacker}`);
    return undefined;
  });
  await startUdp(ADDRESSES.resolver, 53, (query) =>
    answerQuery(query, (name) => {
      arrived(`dns ${name}`);
    }),
  );
  await startUdp(ADDRESSES.attacker, 53, (query) =>
    answerQuery(query, (name) => {
      arrived(`dns at the attacker ${name}`);
    }),
  );
  return { lines };
}

function answerQuery(query: Buffer, arrived: (name: string) => void): Buffer {
  const { id, questions = [] } = dnsPacket.decode(query);
  const question = questions[0];
  const name = question?.name.toLowerCase() ?? '';
  arrived(name);
  const entry = ZONE[name];
  const data = question?.type === 'A' ? entry?.A : question?.type === 'AAAA' ? entry?.AAAA : undefined;
  return dnsPacket.encode({
    id: id ?? 0,
    type: 'response',
    flags: dnsPacket.RECURSION_AVAILABLE | (entry === undefined ? 3 /* NXDOMAIN */ : 0),
    questions,
    answers:
      data === undefined
        ? []
        : [{ type: question?.type === 'AAAA' ? 'AAAA' : 'A', name: question?.name ?? '', ttl: 60, data }],
  });
}

function startUdp(address: string, port: number, answer: (message: Buffer) => Buffer | undefined): Promise<void> {
  const socket = dgram.createSocket('udp4');
  socket.on('message', (message, from) => {
    const reply = answer(message);
    if (reply !== undefined) socket.send(reply, from.port, from.address);
  });
  return new Promise((resolve, reject) => {
    socket.once('error', reject);
    socket.bind(port, address, resolve);
  });
}

function listening(server: net.Server): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('listening', resolve);
    server.once('error', reject);
  });
}
