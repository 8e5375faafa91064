/**
 * A connection that is judged as a whole by how it begins: gathers until `read` has its act, judges it once, and then lets
 * everything pass unlooked at, or refuses. `read` bounds what is gathered: past its own limit it answers with a doubt.
 */
import type { Act, Answer, Session, SessionIo } from './codec.ts';
import { createGathered, gather, gathered, takeGathered } from './gather.ts';

export function openJudgedOnce(
  io: SessionIo,
  read: (bytes: Buffer) => Act | 'more',
  refuse: (io: SessionIo) => void,
): Session {
  const kept = createGathered();
  let state: 'reading' | 'judging' | 'settled' = 'reading';
  let applicationEnded = false;

  function fromDownstream(bytes: Buffer): void {
    if (state === 'settled') return;
    gather(kept, bytes);
    if (state === 'judging') {
      io.pauseDownstream();
      return;
    }
    const act = read(gathered(kept));
    if (act === 'more') return;
    state = 'judging';
    const answer = io.judge(act, settle);
    if (answer === undefined) io.pauseDownstream();
    else settle(answer);
  }

  function settle(answer: Answer): void {
    if (state !== 'judging') return;
    state = 'settled';
    if (answer.effect === 'allow') {
      io.splice(answer.permit, takeGathered(kept));
      io.resumeDownstream();
      return;
    }
    takeGathered(kept);
    refuse(io);
  }

  function downstreamEnded(): void {
    if (applicationEnded) return;
    applicationEnded = true;
    // too little to be an access: nothing was sent on, and nothing will be
    if (state === 'reading') {
      state = 'settled';
      io.close();
    }
  }

  function upstreamEnded(): void {
    state = 'settled';
    io.close();
  }

  return {
    fromDownstream,
    // nobody was dialled, or nothing was said to them yet: what a server says of its own accord passes
    fromUpstream: (bytes) => {
      io.toDownstream(bytes);
    },
    downstreamEnded,
    upstreamEnded,
  };
}
