/**
 * "Administratively prohibited" for a datagram (RFC 1812 §5.2.7.1, RFC 4443 §3.1), as the body that a raw ICMP socket
 * sends: the type, the code, and the head of the packet that was refused, by which the kernel finds the socket.
 */
import type { Datagram } from '../platform/io/libc.ts';
import { addressToBytes } from '../platform/pure/address.ts';

const UDP = 17;

/** The ICMP message; the kernel makes the IP header around it, and for IPv6 the checksum. `length`: bytes of the datagram's payload. */
export function buildUdpRefusal({ source, original }: Pick<Datagram, 'source' | 'original'>, length: number): Buffer {
  const { family } = original.address;
  const ipHeader = family === 4 ? 20 : 40;
  const message = Buffer.alloc(8 + ipHeader + 8);
  const quoted = message.subarray(8);
  if (family === 4) {
    message.writeUInt8(3, 0);
    message.writeUInt8(13, 1);
    quoted.writeUInt8(0x45, 0);
    quoted.writeUInt16BE(Math.min(20 + 8 + length, 0xffff), 2);
    quoted.writeUInt8(64, 8);
    quoted.writeUInt8(UDP, 9);
    quoted.set(addressToBytes(source.address), 12);
    quoted.set(addressToBytes(original.address), 16);
    quoted.writeUInt16BE(internetChecksum(quoted.subarray(0, 20)), 10);
  } else {
    message.writeUInt8(1, 0);
    message.writeUInt8(1, 1);
    quoted.writeUInt8(0x60, 0);
    quoted.writeUInt16BE(Math.min(8 + length, 0xffff), 4);
    quoted.writeUInt8(UDP, 6);
    quoted.writeUInt8(64, 7);
    quoted.set(addressToBytes(source.address), 8);
    quoted.set(addressToBytes(original.address), 24);
  }
  quoted.writeUInt16BE(source.port, ipHeader);
  quoted.writeUInt16BE(original.port, ipHeader + 2);
  quoted.writeUInt16BE(Math.min(8 + length, 0xffff), ipHeader + 4);
  if (family === 4) message.writeUInt16BE(internetChecksum(message), 2);
  return message;
}

/** RFC 1071. */
export function internetChecksum(bytes: Buffer): number {
  let sum = 0;
  for (let at = 0; at + 1 < bytes.length; at += 2) sum += bytes.readUInt16BE(at);
  if (bytes.length % 2 === 1) sum += (bytes.at(-1) ?? 0) << 8;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
