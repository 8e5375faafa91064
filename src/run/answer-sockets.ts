/** Sockets that answer in a destination's name. Each is made inside the box on first use and kept; the least used gives way. */
import { closeSync } from 'node:fs';
import { LRUCache } from 'lru-cache';
import type { Endpoint } from '../engine/udp.ts';
import { sendDatagram } from '../platform/io/libc.ts';
import type { Box } from './box.ts';

const MAX_SOCKETS = 512;
const MAX_WAITING = 64;
/** Sockets asked for at once: fewer than there is room for in the channel to the init, and back. */
const MAX_REQUESTS = 64;

export type SendAnswer = (from: Endpoint, to: Endpoint, payload: Uint8Array) => void;

export function createAnswerSockets(box: Pick<Box, 'openAnswerSocket'>): { readonly send: SendAnswer; close(): void } {
  const open = new LRUCache<string, number>({
    max: MAX_SOCKETS,
    dispose: (fd) => {
      closeSync(fd);
    },
  });
  const waiting = new Map<string, (() => void)[]>();

  return {
    send(from, to, payload) {
      const key = `${from.address.text} ${from.port}`;
      const fd = open.get(key);
      if (fd !== undefined) {
        sendDatagram(fd, payload, to.address, to.port);
        return;
      }
      const again = (): void => {
        const made = open.get(key);
        if (made !== undefined) sendDatagram(made, payload, to.address, to.port);
      };
      const queue = waiting.get(key);
      if (queue !== undefined) {
        // a datagram may be lost, memory may not
        if (queue.length < MAX_WAITING) queue.push(again);
        return;
      }
      if (waiting.size >= MAX_REQUESTS) return;
      waiting.set(key, [again]);
      void box.openAnswerSocket(from.address.text, from.port).then((made) => {
        if (made !== undefined) open.set(key, made);
        for (const resend of waiting.get(key) ?? []) resend();
        waiting.delete(key);
      });
    },
    close() {
      open.clear();
    },
  };
}
