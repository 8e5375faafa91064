/**
 * Packets that the kernel's filter dropped, as it logs them over netlink (nfnetlink_log; NFLOG target, nft `log group`).
 * Opened inside the namespace, read anywhere. A kernel without it: no log, and the packets are dropped all the same.
 */
import { addressFromBytes, type Address } from '../pure/address.ts';
import { AF, closeDescriptor, openSocket, pinned, receiveBytes, sendBytes, SOCK } from './libc.ts';

const NETLINK_NETFILTER = 12;
const NFNL_SUBSYS_ULOG = 4;
const NFULNL_MSG_PACKET = 0;
const NFULNL_MSG_CONFIG = 1;
const NFULA_PAYLOAD = 9;
const COPY_BYTES = 64;

export interface DroppedPacket {
  readonly protocol: number;
  readonly destination: Address;
  /** The first bytes after the IP header: ICMP type and code, ports. */
  readonly transport: Buffer;
}

/** The descriptor, bound to the group; `undefined` where the kernel has no such log. */
export function openDropLog(group: number): number | undefined {
  let fd: number | undefined;
  try {
    fd = openSocket(AF.NETLINK, SOCK.RAW | SOCK.NONBLOCK, NETLINK_NETFILTER);
    // struct nfulnl_msg_config_cmd: bind this socket to the group
    configure(fd, group, attribute(1 /* NFULA_CFG_CMD */, Buffer.from([1 /* NFULNL_CFG_CMD_BIND */])));
    // struct nfulnl_msg_config_mode: copy range (big-endian), then NFULNL_COPY_PACKET
    configure(fd, group, attribute(2 /* NFULA_CFG_MODE */, Buffer.from([0, 0, 0, COPY_BYTES, 2, 0])));
    return fd;
  } catch {
    if (fd !== undefined) closeDescriptor(fd);
    return undefined;
  }
}

function configure(fd: number, group: number, body: Buffer): void {
  const message = Buffer.alloc(20 + body.length);
  message.writeUInt32LE(message.length, 0);
  message.writeUInt16LE((NFNL_SUBSYS_ULOG << 8) | NFULNL_MSG_CONFIG, 4);
  message.writeUInt16LE(1 | 4 /* NLM_F_REQUEST | NLM_F_ACK */, 6);
  message.writeUInt16BE(group, 18);
  body.copy(message, 20);
  sendBytes(fd, message);
  const answer = pinned(4096);
  const length = receiveBytes(fd, answer) ?? 0;
  if (length < 20 || answer.readUInt16LE(4) !== 2 || answer.readInt32LE(16) !== 0)
    throw new Error('nfnetlink_log refused');
}

function attribute(type: number, value: Buffer): Buffer {
  const bytes = Buffer.alloc((4 + value.length + 3) & ~3);
  bytes.writeUInt16LE(4 + value.length, 0);
  bytes.writeUInt16LE(type, 2);
  value.copy(bytes, 4);
  return bytes;
}

/** A function that takes the waiting packets from the log. */
export function createDropLogReader(fd: number): (onPacket: (packet: DroppedPacket) => void) => void {
  const buffer = pinned(65_536);
  return (onPacket) => {
    for (;;) {
      let length: number | undefined;
      try {
        length = receiveBytes(fd, buffer);
      } catch {
        return; // ENOBUFS: the kernel dropped log lines, not packets
      }
      if (length === undefined) return;
      for (let at = 0; at + 20 <= length;) {
        const size = buffer.readUInt32LE(at);
        if (size < 20 || at + size > length) break;
        if (buffer.readUInt16LE(at + 4) === ((NFNL_SUBSYS_ULOG << 8) | NFULNL_MSG_PACKET)) {
          const packet = readPacket(buffer.subarray(at + 20, at + size));
          if (packet !== undefined) onPacket(packet);
        }
        at += (size + 3) & ~3;
      }
    }
  };
}

function readPacket(attributes: Buffer): DroppedPacket | undefined {
  for (let at = 0; at + 4 <= attributes.length;) {
    const size = attributes.readUInt16LE(at);
    if (size < 4 || at + size > attributes.length) return undefined;
    if ((attributes.readUInt16LE(at + 2) & 0x3fff) === NFULA_PAYLOAD)
      return readIpHeader(attributes.subarray(at + 4, at + size));
    at += (size + 3) & ~3;
  }
  return undefined;
}

function readIpHeader(bytes: Buffer): DroppedPacket | undefined {
  const version = (bytes[0] ?? 0) >>> 4;
  if (version === 4 && bytes.length >= 20) {
    const destination = addressFromBytes(bytes.subarray(16, 20));
    const headerLength = ((bytes[0] ?? 0) & 15) * 4;
    return (
      destination && { protocol: bytes[9] ?? 0, destination, transport: Buffer.from(bytes.subarray(headerLength)) }
    );
  }
  if (version === 6 && bytes.length >= 40) {
    const destination = addressFromBytes(bytes.subarray(24, 40));
    return destination && { protocol: bytes[6] ?? 0, destination, transport: Buffer.from(bytes.subarray(40)) };
  }
  return undefined;
}
