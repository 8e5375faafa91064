/**
 * `node hold.ts NAME REQUEST COUNT`: opens COUNT connections, has one request answered with 200 on each, prints
 * `open N`, and keeps them until a line comes in, or the end of the input.
 */
import { lookup } from 'node:dns/promises';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

const [name = '', request = '', count = '0'] = process.argv.slice(2);
const AT_ONCE = 50;
const { address } = await lookup(name, 4);

async function open(): Promise<Socket> {
  const socket = connect(80, address);
  socket.write(request, 'latin1');
  const [answer] = (await once(socket, 'data')) as [Buffer];
  if (!answer.toString('latin1', 0, 15).includes(' 200')) throw new Error(`denied: ${answer.toString('latin1')}`);
  socket.on('close', () => closed++);
  socket.on('error', () => undefined); // counted by close
  return socket;
}

let closed = 0;
const sockets: Socket[] = [];
while (sockets.length < Number(count)) {
  const batch = Math.min(AT_ONCE, Number(count) - sockets.length);
  sockets.push(...(await Promise.all(Array.from({ length: batch }, open))));
}
process.stdout.write(`open ${String(sockets.length - closed)}\n`);
await Promise.race([once(process.stdin, 'data'), once(process.stdin, 'end')]);
process.exit(0);
