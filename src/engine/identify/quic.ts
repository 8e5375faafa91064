/** Does a datagram begin a QUIC connection (RFC 9000 §17.2.2, RFC 9369)? For naming the flow; nothing in it is read. */

const VERSION_1 = 0x00000001;
const VERSION_2 = 0x6b3343cf;
/** A client pads its first datagram to at least this (RFC 9000 §14.1). */
const MIN_INITIAL_BYTES = 1200;

export function isQuicInitial(datagram: Uint8Array): boolean {
  if (datagram.length < MIN_INITIAL_BYTES) return false;
  const [first = 0, ...version] = datagram.subarray(0, 5);
  // long header, fixed bit
  if ((first & 0xc0) !== 0xc0) return false;
  const type = (first >> 4) & 3;
  const number = version.reduce((value, byte) => value * 256 + byte, 0);
  if (number === VERSION_2) return type === 1;
  return type === 0 && (number === VERSION_1 || Math.floor(number / 256) === 0xff0000);
}
