/**
 * `node client.ts KIND HOST PORT TEXT …`: one access for each four arguments, one line of JSON for each.
 * KIND is http, https (both by fetch), http-module, https-module, tcp or udp.
 */
import { createSocket } from 'node:dgram';
import http from 'node:http';
import https from 'node:https';
import net from 'node:net';

interface Answer {
  readonly status?: number;
  readonly body?: string;
  readonly error?: string;
}

function ask(kind: string, host: string, port: number, text: string): Promise<Answer> {
  const url = `${kind.replace('-module', '')}://${host.includes(':') ? `[${host}]` : host}:${port}${text}`;
  switch (kind) {
    case 'http':
    case 'https':
      return fetch(url).then(async (response) => answerOf(response.status, await response.text()));
    case 'http-module':
    case 'https-module':
      return new Promise((resolve, reject) => {
        const { get } = kind === 'http-module' ? http : https;
        get(url, (response) => {
          let body = '';
          response.on('data', (chunk: Buffer) => (body += chunk.toString()));
          response.on('end', () => resolve(answerOf(response.statusCode ?? 0, body)));
        }).on('error', reject);
      });
    case 'tcp':
      return new Promise((resolve, reject) => {
        const socket = net.connect(port, host, () => socket.write(text));
        socket.setTimeout(8000, () => socket.destroy(new Error('timeout')));
        socket.on('data', (bytes) => {
          resolve({ body: bytes.toString() });
          socket.destroy();
        });
        socket.on('error', reject);
        socket.on('close', () => reject(new Error('closed')));
      });
    case 'udp':
      return new Promise((resolve, reject) => {
        const socket = createSocket(host.includes(':') || host === 'six.test' ? 'udp6' : 'udp4');
        const timer = setTimeout(() => fail(new Error('timeout')), 2000);
        const fail = (error: Error): void => {
          clearTimeout(timer);
          socket.close();
          reject(error);
        };
        socket.once('error', fail);
        socket.connect(port, host, () => socket.send(text));
        socket.on('message', (bytes) => {
          clearTimeout(timer);
          resolve({ body: bytes.toString() });
          socket.close();
        });
      });
    default:
      throw new Error(`no kind ${kind}`);
  }
}

function answerOf(status: number, body: string): Answer {
  return status === 200 ? { body } : { status, body };
}

const words = process.argv.slice(2);
for (let at = 0; at < words.length; at += 4) {
  const [kind = '', host = '', port = '', text = ''] = words.slice(at, at + 4);
  const answer = await ask(kind, host, Number(port), text).catch((error: unknown): Answer => ({
    error: describe(error),
  }));
  console.log(JSON.stringify(answer));
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message;
}
