/**
 * Network set-up by rtnetlink (RFC 3549, rtnetlink(7)): link up, addresses, routes, rules. So that a machine needs no
 * iproute2. Each call is one request and its acknowledgement; a refusal is a SyscallError.
 */
import { addressToBytes, type Address, type Cidr } from '../pure/address.ts';
import { AF, closeDescriptor, openSocket, pinned, receiveBytes, sendBytes, SOCK, SyscallError } from './libc.ts';

const NLMSG_ERROR = 2;
const FLAGS = { REQUEST: 1, ACK: 4, EXCL: 0x200, CREATE: 0x400 } as const;
const RTM = { NEWLINK: 16, NEWADDR: 20, NEWROUTE: 24, NEWRULE: 32 } as const;
const LOOPBACK_INDEX = 1;

export interface NetworkConfigurator {
  raiseLoopback(): void;
  addLoopbackAddress(address: Address): void;
  /** What goes to `range` leaves by `lo`, with this source address. */
  addRoute(range: Cidr, source: Address): void;
  /** `ip route add local default dev lo table T`: in that table every address is the machine's own. */
  addLocalRoute(range: Cidr, table: number): void;
  /** Packets with this mark are routed by this table. */
  addMarkRule(family: 4 | 6, mark: number, table: number): void;
  close(): void;
}

export function openNetworkConfigurator(): NetworkConfigurator {
  const fd = openSocket(AF.NETLINK, SOCK.RAW, 0);
  let sequence = 0;

  function request(type: number, flags: number, body: Buffer): void {
    sequence += 1;
    const message = Buffer.alloc(16 + body.length);
    message.writeUInt32LE(message.length, 0);
    message.writeUInt16LE(type, 4);
    message.writeUInt16LE(FLAGS.REQUEST | FLAGS.ACK | flags, 6);
    message.writeUInt32LE(sequence, 8);
    body.copy(message, 16);
    sendBytes(fd, message);
    // the kernel answers an rtnetlink request before sendto returns
    const answer = pinned(4096);
    const length = receiveBytes(fd, answer) ?? 0;
    if (length < 20 || answer.readUInt16LE(4) !== NLMSG_ERROR) throw new Error('netlink: no acknowledgement');
    const errno = -answer.readInt32LE(16);
    if (errno !== 0) throw new SyscallError(`rtnetlink ${type}`, errno);
  }

  return {
    raiseLoopback() {
      const body = Buffer.alloc(16);
      body.writeInt32LE(LOOPBACK_INDEX, 4);
      body.writeUInt32LE(1 /* IFF_UP */, 8);
      body.writeUInt32LE(1, 12);
      request(RTM.NEWLINK, 0, body);
    },
    addLoopbackAddress(address) {
      const body = Buffer.alloc(8);
      body.writeUInt8(familyNumber(address.family), 0);
      body.writeUInt8(address.bits.length * 32, 1);
      body.writeUInt8(0x02 | 0x80 /* IFA_F_NODAD | IFA_F_PERMANENT */, 2);
      body.writeUInt32LE(LOOPBACK_INDEX, 4);
      const bytes = addressToBytes(address);
      request(RTM.NEWADDR, FLAGS.CREATE | FLAGS.EXCL, Buffer.concat([body, attribute(1, bytes), attribute(2, bytes)]));
    },
    addRoute({ address, prefix }, source) {
      const head = routeHead(
        address.family,
        prefix,
        MAIN_TABLE,
        1 /* RTN_UNICAST */,
        address.family === 4 ? SCOPE_LINK : 0,
      );
      const parts = [head, outInterface(), attribute(7 /* RTA_PREFSRC */, addressToBytes(source))];
      if (prefix > 0) parts.push(attribute(1 /* RTA_DST */, addressToBytes(address)));
      request(RTM.NEWROUTE, FLAGS.CREATE | FLAGS.EXCL, Buffer.concat(parts));
    },
    addLocalRoute(range, table) {
      const head = routeHead(range.address.family, range.prefix, table, 2 /* RTN_LOCAL */, SCOPE_HOST);
      const parts = [head, outInterface(), attribute(15 /* RTA_TABLE */, uint32(table))];
      if (range.prefix > 0) parts.push(attribute(1 /* RTA_DST */, addressToBytes(range.address)));
      request(RTM.NEWROUTE, FLAGS.CREATE | FLAGS.EXCL, Buffer.concat(parts));
    },
    addMarkRule(family, mark, table) {
      const head = Buffer.alloc(12);
      head.writeUInt8(familyNumber(family), 0);
      head.writeUInt8(table, 4);
      head.writeUInt8(1 /* FR_ACT_TO_TBL */, 7);
      const parts = [head, attribute(10 /* FRA_FWMARK */, uint32(mark)), attribute(15 /* FRA_TABLE */, uint32(table))];
      request(RTM.NEWRULE, FLAGS.CREATE | FLAGS.EXCL, Buffer.concat(parts));
    },
    close() {
      closeDescriptor(fd);
    },
  };
}

const MAIN_TABLE = 254;
const SCOPE_LINK = 253;
const SCOPE_HOST = 254;

function familyNumber(family: 4 | 6): number {
  return family === 4 ? AF.INET : AF.INET6;
}

function routeHead(family: 4 | 6, prefix: number, table: number, type: number, scope: number): Buffer {
  const head = Buffer.alloc(12);
  head.writeUInt8(familyNumber(family), 0);
  head.writeUInt8(prefix, 1);
  head.writeUInt8(table, 4);
  head.writeUInt8(4 /* RTPROT_STATIC */, 5);
  head.writeUInt8(scope, 6);
  head.writeUInt8(type, 7);
  return head;
}

function outInterface(): Buffer {
  return attribute(4 /* RTA_OIF */, uint32(LOOPBACK_INDEX));
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

function attribute(type: number, value: Uint8Array): Buffer {
  const bytes = Buffer.alloc((4 + value.length + 3) & ~3);
  bytes.writeUInt16LE(4 + value.length, 0);
  bytes.writeUInt16LE(type, 2);
  bytes.set(value, 4);
  return bytes;
}
