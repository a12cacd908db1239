// What a process has: children, descriptors, threads.

import { childrenOf, descriptors, processState, threads } from '../support/proc.mjs';

/** Children of this process with their states, as `'4242 Z'`, and how many it has of the others. */
export function possessions() {
  const children = childrenOf().map((pid) => `${pid} ${processState(pid) ?? 'gone'}`);
  return { children, descriptors: descriptors(), threads: threads().length };
}

/** Whether there is no child, and no more of the others than there was. */
export function isRestored(now, before) {
  return (
    now.children.length === 0 &&
    now.descriptors <= before.descriptors &&
    now.threads <= before.threads
  );
}
