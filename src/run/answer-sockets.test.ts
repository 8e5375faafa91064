import { closeSync, fstatSync, openSync } from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import { parseAddress, type Address } from '../platform/pure/address.ts';
import { createAnswerSockets } from './answer-sockets.ts';

function address(text: string): Address {
  const parsed = parseAddress(text);
  if (parsed === undefined) throw new Error(text);
  return parsed;
}

const CLIENT = { address: address('192.0.0.2'), port: 4000 };
const PAYLOAD = Buffer.from('answer');

interface Request {
  readonly from: string;
  readonly settle: (fd: number | undefined) => void;
}

function stage(): { readonly requests: Request[]; readonly answers: ReturnType<typeof createAnswerSockets> } {
  const requests: Request[] = [];
  const answers = createAnswerSockets({
    openAnswerSocket: (text, port) =>
      new Promise((settle) => {
        requests.push({ from: `${text} ${port}`, settle });
      }),
  });
  return { requests, answers };
}

const opened: number[] = [];
afterEach(() => {
  for (const fd of opened.splice(0)) {
    try {
      closeSync(fd);
    } catch {
      // closed by what is tested
    }
  }
});

function descriptor(): number {
  const fd = openSync('/dev/null', 'r');
  opened.push(fd);
  return fd;
}

function isOpen(fd: number): boolean {
  try {
    fstatSync(fd);
    return true;
  } catch {
    return false;
  }
}

describe('createAnswerSockets', () => {
  it('asks for one socket a destination, and for few at once, whatever the command sends', async () => {
    const { requests, answers } = stage();
    for (let index = 0; index < 5_000; index += 1)
      answers.send({ address: address(`198.18.${index >> 8}.${index & 255}`), port: 53 }, CLIENT, PAYLOAD);
    for (let index = 0; index < 100; index += 1)
      answers.send({ address: address('198.18.0.0'), port: 53 }, CLIENT, PAYLOAD);
    expect(requests.length).toBe(64);
    expect(new Set(requests.map(({ from }) => from)).size).toBe(64);

    for (const { settle } of requests.splice(0)) settle(undefined);
    await Promise.resolve();
    answers.send({ address: address('198.18.250.1'), port: 53 }, CLIENT, PAYLOAD);
    expect(requests.length).toBe(1);
    answers.close();
  });

  it('asks again where no socket was to be had', async () => {
    const { requests, answers } = stage();
    const from = { address: address('198.18.0.1'), port: 53 };
    answers.send(from, CLIENT, PAYLOAD);
    requests[0]?.settle(undefined);
    await Promise.resolve();
    answers.send(from, CLIENT, PAYLOAD);
    expect(requests.length).toBe(2);
    answers.close();
  });

  it('closes what it opened', async () => {
    const { requests, answers } = stage();
    const fd = descriptor();
    answers.send({ address: address('198.18.0.1'), port: 53 }, CLIENT, PAYLOAD);
    requests[0]?.settle(fd);
    await Promise.resolve();
    expect(isOpen(fd)).toBe(true);
    answers.close();
    expect(isOpen(fd)).toBe(false);
  });
});
