/**
 * The servers that are neither HTTP nor DNS, as a process of its own: `node echo.ts TCP-PORTS UDP-PORTS
 * BANNER-PORTS UDP-ADDRESSES`. TCP and UDP ports send back what they get; banner ports speak first. TCP on all addresses;
 * UDP on those named, as an answer must come from the address that was asked.
 * Each arrival is a line of JSON on stdout: a connection (`bytes` 0), what it carried, a datagram.
 */
import { createSocket } from 'node:dgram';
import { createServer, type Socket } from 'node:net';

const [tcpPorts, udpPorts, bannerPorts] = process.argv.slice(2, 5).map((list) => list.split(',').map(Number));
const udpAddresses = (process.argv[5] ?? '').split(',');

function log(protocol: 'tcp' | 'udp', address: string, port: number, text: string): void {
  console.log(JSON.stringify({ protocol, address: address.replace(/^::ffff:/, ''), port, text }));
}

function serve(socket: Socket, banner: string): void {
  const { localAddress = '', localPort = 0 } = socket;
  log('tcp', localAddress, localPort, '');
  socket.on('error', () => undefined); // a reset, which some tests want
  socket.on('data', (bytes) => {
    log('tcp', localAddress, localPort, bytes.subarray(0, 300).toString('latin1'));
    if (!socket.write(bytes)) socket.pause();
  });
  socket.on('drain', () => socket.resume());
  if (banner !== '') socket.write(banner);
}

for (const port of tcpPorts ?? []) createServer((socket) => serve(socket, '')).listen(port, '::');
for (const port of bannerPorts ?? []) createServer((socket) => serve(socket, '220 ready\r\n')).listen(port, '::');
for (const address of udpAddresses) {
  for (const port of udpPorts ?? []) {
    const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
    socket.on('message', (bytes, sender) => {
      log('udp', address, port, bytes.toString('latin1'));
      socket.send(bytes, sender.port, sender.address);
    });
    socket.bind(port, address);
  }
}
