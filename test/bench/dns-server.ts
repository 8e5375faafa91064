/**
 * The benchmark's DNS server, a process of its own: `node dns-server.ts ADDRESS NAME ANSWER`.
 * A for NAME is ANSWER, any other type of it is empty, any other name does not exist. It answers the benchmark's own
 * boxes alone, so a malformed query is dropped without more ado.
 */
import { createSocket } from 'node:dgram';

const [address = '', name = '', answer = ''] = process.argv.slice(2);
const TYPE_A = 1;
const HEADER_BYTES = 12;

function reply(query: Buffer): Buffer | undefined {
  const labels: string[] = [];
  let at = HEADER_BYTES;
  for (let length = query[at++] ?? 0; length > 0; length = query[at++] ?? 0) {
    labels.push(query.toString('latin1', at, at + length));
    at += length;
  }
  const questionEnd = at + 4;
  if (query.length < questionEnd) return undefined;
  const known = labels.join('.').toLowerCase() === name;
  const answered = known && query.readUInt16BE(at) === TYPE_A;
  const header = Buffer.alloc(HEADER_BYTES);
  query.copy(header, 0, 0, 2);
  header.writeUInt16BE(known ? 0x8580 : 0x8583, 2); // authoritative, recursion available; NXDOMAIN for a stranger
  header.writeUInt16BE(1, 4);
  header.writeUInt16BE(answered ? 1 : 0, 6);
  // The name by a pointer to the question, type A, class IN, an hour, four bytes.
  const record = Buffer.from([
    0xc0,
    HEADER_BYTES,
    0,
    TYPE_A,
    0,
    1,
    0,
    0,
    0x0e,
    0x10,
    0,
    4,
    ...answer.split('.').map(Number),
  ]);
  return Buffer.concat([header, query.subarray(HEADER_BYTES, questionEnd), ...(answered ? [record] : [])]);
}

const socket = createSocket('udp4');
socket.on('message', (query, sender) => {
  const message = reply(query);
  if (message !== undefined) socket.send(message, sender.port, sender.address);
});
socket.bind(53, address);
