// What a process has: children, descriptors, threads.

import { readdirSync, readFileSync } from 'node:fs';

/** Children of this process with their states, zombies included: `['4242 Z']`. */
export function children() {
  return readdirSync('/proc/self/task').flatMap((thread) => {
    const pids = read(`/proc/self/task/${thread}/children`).split(' ').filter(Boolean);
    return pids.map((pid) => `${pid} ${read(`/proc/${pid}/stat`).split(') ').at(-1)[0] ?? 'gone'}`);
  });
}

export function descriptors() {
  return readdirSync('/proc/self/fd').length;
}

export function threads() {
  return readdirSync('/proc/self/task').length;
}

/** All three. */
export function possessions() {
  return { children: children(), descriptors: descriptors(), threads: threads() };
}

/** Whether there is no child, and no more of the others than there was. */
export function isRestored(now, before) {
  return now.children.length === 0 && now.descriptors <= before.descriptors && now.threads <= before.threads;
}

/** A thread or a process may end between two looks. */
function read(path) {
  try {
    return readFileSync(path, 'latin1').trim();
  } catch {
    return '';
  }
}
