/** No proxy at all: the same client, box and origin. What the others are compared with. */
import type { Peer } from './peer.ts';
import { openLoadShell } from './transparent.ts';

export const direct: Peer = {
  name: 'direct',
  records: 'nothing',
  open: (box, place) => {
    const shell = openLoadShell(box, place);
    return Promise.resolve({ version: '', shell, pids: () => [], recordFile: undefined, close: shell.close });
  },
};
