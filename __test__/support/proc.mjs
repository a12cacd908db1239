// Processes as /proc shows them. A process may have ended before it is read, and then has no
// values. This file uses nothing else of the harness, so that a program that a test starts can
// import it: see `PROC` there.

import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** @param {string} path */
function read(path) {
  try {
    return readFileSync(path, 'latin1').trim();
  } catch {
    return '';
  }
}

/**
 * Returns a process's state letter (R, S, T, Z, ...), or null without such a process. A zombie
 * still answers `kill(pid, 0)`.
 *
 * @param {number | string} pid
 */
export function processState(pid) {
  const stat = read(`/proc/${pid}/stat`);
  return stat === '' ? null : stat[stat.lastIndexOf(')') + 2];
}

/**
 * Returns the children of a process, zombies included.
 *
 * @param {number | 'self'} pid
 * @returns {number[]}
 */
export function childrenOf(pid = 'self') {
  return readdirSync(`/proc/${pid}/task`).flatMap(
    (thread) => read(`/proc/${pid}/task/${thread}/children`).match(/\d+/g)?.map(Number) ?? [],
  );
}

/**
 * Returns the command line of a process, or nothing where it has ended.
 *
 * @param {number} pid
 */
export function commandLine(pid) {
  return read(`/proc/${pid}/cmdline`).replaceAll('\0', ' ').trim();
}

/** Returns the number of descriptors of this process. */
export function descriptors() {
  return readdirSync('/proc/self/fd').length;
}

/** Returns the names of this process's threads; Node's own have the name of the program. */
export function threads() {
  return readdirSync('/proc/self/task').map((thread) => read(`/proc/self/task/${thread}/comm`));
}

/**
 * Returns a function that counts the channels for which JavaScript threads of this process wait
 * themselves, for the pools that there are now. These channels are in an epoll that libuv's epoll
 * waits for in turn. The function is quick: a thread that takes longer no longer leads.
 *
 * @returns {() => number}
 */
export function ledChannels() {
  const targets = (/** @type {string} */ fd) =>
    Array.from(read(`/proc/self/fdinfo/${fd}`).matchAll(/^tfd:\s*(\d+)/gm), ([, target]) => target);
  const all = readdirSync('/proc/self/fd');
  const watched = new Set(all.flatMap(targets));
  const sets = all.filter((fd) => watched.has(fd) && isEpoll(fd));
  return () => sets.reduce((sum, fd) => sum + targets(fd).length, 0);
}

/** @param {string} fd */
function isEpoll(fd) {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`) === 'anon_inode:[eventpoll]';
  } catch {
    return false;
  }
}
