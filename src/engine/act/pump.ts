/** Sends one side's bytes on to the other, as they came, with back-pressure and half-close. */
import type net from 'node:net';
import type { Permit } from '../../model/verdict.ts';

/** From now on `from` feeds `to`, under this permit. Errors and closing stay with the connection. */
export function pump(_permit: Permit, from: net.Socket, to: net.Socket): void {
  from.on('data', (bytes: Buffer) => {
    if (!to.write(bytes)) from.pause();
  });
  from.on('end', () => {
    to.end();
  });
}
