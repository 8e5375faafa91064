/** Bytes that arrive in pieces and can only be looked at together. Appending n bytes one by one costs O(n). */
export interface Gathered {
  /** Only the first `length` bytes count. */
  bytes: Buffer;
  length: number;
}

const NOTHING = Buffer.alloc(0);

export function createGathered(): Gathered {
  return { bytes: NOTHING, length: 0 };
}

/** The first piece is kept as it is; from the second on they are copied together. */
export function gather(into: Gathered, piece: Buffer): void {
  if (piece.length === 0) return;
  if (into.length === 0) {
    into.bytes = piece;
    into.length = piece.length;
    return;
  }
  const length = into.length + piece.length;
  // a first piece is never written into, however much room its memory may have: it belongs to who read it
  if (length > into.bytes.length) {
    const room = Buffer.allocUnsafeSlow(Math.max(1024, length * 2));
    into.bytes.copy(room, 0, 0, into.length);
    into.bytes = room;
  }
  piece.copy(into.bytes, into.length);
  into.length = length;
}

export function gathered(from: Gathered): Buffer {
  return from.bytes.length === from.length ? from.bytes : from.bytes.subarray(0, from.length);
}

/** What was gathered; nothing stays. */
export function takeGathered(from: Gathered): Buffer {
  const bytes = gathered(from);
  from.bytes = NOTHING;
  from.length = 0;
  return bytes;
}
