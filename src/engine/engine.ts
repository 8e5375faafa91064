/**
 * The engine of one network namespace: what its listeners take in goes the way of connection.ts and udp.ts. Input:
 * descriptors of listeners and the ways out that fit the place (marked sockets in a pod, plain ones outside a box).
 */
import net from 'node:net';
import type { Access } from '../model/access.ts';
import { NO_OPERATION, NO_TAGS } from '../model/access.ts';
import { createDropLogReader, type DroppedPacket } from '../platform/io/drop-log.ts';
import { createDatagramReceiver, whenReadable, type Datagram } from '../platform/io/libc.ts';
import { parseAddress } from '../platform/pure/address.ts';
import type { Reporter } from '../report/reporter.ts';
import { handleConnection, type ConnectionParts } from './connection.ts';
import { denial } from './judge.ts';
import { createUdpHandler, type UdpParts } from './udp.ts';

export interface EngineParts extends ConnectionParts, Omit<UdpParts, 'connect'> {
  readonly connectUdp: UdpParts['connect'];
}

export interface EngineListeners {
  readonly listeners: readonly { readonly tcp: number; readonly udp: number }[];
  readonly dropLog: number | undefined;
}

export interface Engine {
  close(): void;
}

/** Of one family. Beyond it the kernel's connection is reset, and reported. */
const MAX_CONNECTIONS = 16_384;
/** Datagrams taken from one socket before other work has its turn. */
const DATAGRAMS_A_TURN = 256;

export function startEngine(parts: EngineParts, { listeners, dropLog }: EngineListeners): Engine {
  const udp = createUdpHandler({ ...parts, connect: parts.connectUdp });
  const closers: (() => void)[] = [udp.close];
  for (const { tcp, udp: descriptor } of listeners) {
    const server = net.createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
      try {
        handleConnection(parts, socket);
      } catch (error) {
        socket.resetAndDestroy();
        parts.onFault(error);
      }
    });
    server.maxConnections = MAX_CONNECTIONS;
    server.on('drop', (dropped) => {
      reportOverLimit(parts.reporter, dropped);
    });
    server.listen({ fd: tcp });
    closers.push(() => {
      server.close();
    });
    closers.push(receiveDatagrams(descriptor, udp.handle, parts.onFault));
  }
  if (dropLog !== undefined) {
    const read = createDropLogReader(dropLog);
    closers.push(
      whenReadable(dropLog, () => {
        read((packet) => {
          reportDropped(parts.reporter, packet);
        });
      }),
    );
  }
  return {
    close() {
      for (const close of closers) close();
    },
  };
}

function receiveDatagrams(
  fd: number,
  handle: (datagram: Datagram) => void,
  onFault: (error: unknown) => void,
): () => void {
  const receive = createDatagramReceiver(fd);
  return whenReadable(fd, () => {
    for (let count = 0; count < DATAGRAMS_A_TURN; count += 1) {
      let datagram;
      try {
        datagram = receive();
      } catch {
        continue; // an ICMP error of an earlier answer, reported on this socket
      }
      if (datagram === undefined) return;
      if (datagram === 'unusable') continue;
      try {
        handle(datagram);
      } catch (error) {
        onFault(error);
      }
    }
  });
}

function reportOverLimit(reporter: Reporter, dropped: net.DropArgument | undefined): void {
  const address = parseAddress(dropped?.localAddress ?? '');
  if (address === undefined) return;
  const destination = { address, port: dropped?.localPort ?? 0, requestedName: undefined, names: [] };
  reporter.report(
    { class: 'tcp', tags: NO_TAGS, operation: NO_OPERATION, destination, doubt: 'unidentified' },
    denial('limit'),
  );
}

const PROTOCOL_NAMES: Readonly<Record<number, string>> = {
  1: 'icmp',
  2: 'igmp',
  6: 'tcp',
  17: 'udp',
  33: 'dccp',
  47: 'gre',
  50: 'esp',
  58: 'icmpv6',
  132: 'sctp',
  136: 'udplite',
};

/** Only TCP and UDP are carried: everything else the kernel has dropped already. */
function reportDropped(reporter: Reporter, packet: DroppedPacket): void {
  const protocol = PROTOCOL_NAMES[packet.protocol] ?? String(packet.protocol);
  const isIcmp = packet.protocol === 1 || packet.protocol === 58;
  const tags: Record<string, string> = { 'ip.protocol': protocol };
  if (isIcmp) tags['icmp.type'] = String(packet.transport[0] ?? 0);
  const access: Access = {
    class: 'icmp',
    tags,
    operation: NO_OPERATION,
    destination: { address: packet.destination, port: 0, requestedName: undefined, names: [] },
    doubt: undefined,
  };
  reporter.report(access, denial('not-carried'));
}
