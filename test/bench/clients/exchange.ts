/**
 * `node exchange.ts ADDRESS JSON`: sends lists of raw requests, each list over one connection, one request after the
 * answer to the one before, and prints the answers as JSON. A connection that ends early gives fewer answers.
 */
import { connect } from 'node:net';
import { readResponse, type Response } from './http-head.ts';

const [address = '', input = '[]'] = process.argv.slice(2);

function exchange(requests: readonly string[]): Promise<Response[]> {
  return new Promise((resolve) => {
    const responses: Response[] = [];
    const pending = [...requests];
    let received = '';
    const socket = connect(80, address);
    const next = (): void => {
      const request = pending.shift();
      if (request === undefined) socket.destroy();
      else socket.write(request, 'latin1');
    };
    const take = (ended: boolean): void => {
      const response = readResponse(received, ended);
      if (response === undefined) return;
      responses.push(response);
      received = received.slice(response.length);
      next();
    };
    socket.setTimeout(5000, () => socket.destroy());
    socket.on('connect', next);
    socket.on('data', (chunk) => {
      received += chunk.toString('latin1');
      take(false);
    });
    socket.on('end', () => take(true));
    socket.on('error', () => undefined); // a reset is an answer too: fewer responses
    socket.on('close', () => resolve(responses));
  });
}

const answers: Response[][] = [];
for (const requests of JSON.parse(input) as string[][]) answers.push(await exchange(requests));
process.stdout.write(`${JSON.stringify(answers)}\n`);
