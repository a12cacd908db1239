// Reads facts about processes from /proc. Without /proc, numbers are NaN and lists are empty.

import { readdirSync, readFileSync } from 'node:fs';

/** @returns {number} CPU time of this process's main thread, µs */
export function mainThreadCpu() {
  const text = read(`/proc/self/task/${process.pid}/schedstat`);
  return text === undefined ? Number.NaN : Number(text.split(' ')[0]) / 1000;
}

/** @returns {number} CPU time of all threads of this process but the main one, µs */
export function otherThreadsCpu() {
  const { user, system } = process.cpuUsage();
  return user + system - mainThreadCpu();
}

/**
 * @param {number} pid
 * @returns {number} CPU time of a process, ms, in steps of 10
 */
export function processCpu(pid) {
  const text = read(`/proc/${pid}/stat`);
  if (text === undefined) return Number.NaN;
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

/**
 * @param {number} pid
 * @returns {{ rss: number, own: number, proportional: number }} bytes: resident memory, the part of
 *   it that is not shared, and that part plus its share of the rest
 */
export function processMemory(pid) {
  const text = read(`/proc/${pid}/smaps_rollup`) ?? '';
  /** @param {string} name */
  const field = (name) =>
    Number(new RegExp(`^${name}: +(\\d+) kB`, 'm').exec(text)?.[1] ?? Number.NaN) * 1024;
  return {
    rss: field('Rss'),
    own: field('Private_Clean') + field('Private_Dirty'),
    proportional: field('Pss'),
  };
}

/** @returns {{ descriptors: number, threads: number, children: number, rss: number }} of this process */
export function resources() {
  return {
    descriptors: list('/proc/self/fd').length,
    threads: list('/proc/self/task').length,
    children: children(process.pid).length,
    rss: process.memoryUsage.rss(),
  };
}

/**
 * @param {number} pid
 * @returns {number[]} the processes started by any thread of it
 */
export function children(pid) {
  return list(`/proc/${pid}/task`).flatMap((thread) =>
    (read(`/proc/${pid}/task/${thread}/children`) ?? '').split(' ').filter(Boolean).map(Number),
  );
}

/**
 * @param {number} pid
 * @returns {number[]} its descendants
 */
export function descendants(pid) {
  return children(pid).flatMap((child) => [child, ...descendants(child)]);
}

/** @param {number[]} pids */
export function kill(pids) {
  for (const pid of pids) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // The process has ended meanwhile.
    }
  }
}

/**
 * @param {string} path
 * @returns {string | undefined}
 */
function read(path) {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return undefined;
  }
}

/** @param {string} path */
function list(path) {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}
