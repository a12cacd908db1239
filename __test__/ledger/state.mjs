// The resources of a process: children, descriptors, threads.

import { childrenOf, descriptors, processState, threads } from '../support/proc.mjs';

/**
 * The children of this process with their states, as `'4242 Z'`, and its numbers of descriptors and
 * threads.
 */
export function possessions() {
  const children = childrenOf().map((pid) => `${pid} ${processState(pid) ?? 'gone'}`);
  return { children, descriptors: descriptors(), threads: threads().length };
}

/** Returns whether there is no child, and no more descriptors and threads than before. */
export function isRestored(now, before) {
  return (
    now.children.length === 0 &&
    now.descriptors <= before.descriptors &&
    now.threads <= before.threads
  );
}
