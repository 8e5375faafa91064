/**
 * `node first-byte.ts ADDRESS REQUEST COUNT`: COUNT connections one after the other, one request each, and prints the
 * median time from connect to the first byte of the answer, in microseconds.
 */
import { lookup } from 'node:dns/promises';
import { connect } from 'node:net';
import { median } from '../statistics.ts';

const [name = '', request = '', count = '0'] = process.argv.slice(2);
const WARM_UP = 50;
const { address } = await lookup(name, 4);

function firstByteUs(): Promise<number> {
  return new Promise((resolve, reject) => {
    const from = process.hrtime.bigint();
    let firstUs: number | undefined;
    const socket = connect(80, address);
    socket.setNoDelay(true);
    socket.write(request, 'latin1');
    socket.on('data', (chunk) => {
      if (firstUs !== undefined) return;
      if (!chunk.toString('latin1', 0, 15).includes(' 200')) reject(new Error(`denied: ${chunk.toString('latin1')}`));
      firstUs = Number(process.hrtime.bigint() - from) / 1000;
    });
    socket.on('error', reject);
    socket.on('close', () => {
      if (firstUs === undefined) reject(new Error('closed without an answer'));
      else resolve(firstUs);
    });
  });
}

const times: number[] = [];
for (let round = 0; round < WARM_UP + Number(count); round++) times.push(await firstByteUs());
process.stdout.write(`${String(median(times.slice(WARM_UP)))}\n`);
