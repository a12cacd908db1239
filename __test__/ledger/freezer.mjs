// Stops its parent for a while, as a debugger, a container's freezer or a closed lid does, and
// makes a worker die meanwhile. The worker's last frames then wait unread beside the news of its
// death. Reads the pid of a worker from each line of its standard input, and ends with that.

import { readdirSync, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';

/** Time in which the worker continues with its tasks (ms). */
const HEAD_START = 20;
/**
 * Time for the worker to die (ms), which a busy machine may exceed. A run in which it has not died
 * shows less, and does not fail.
 */
const DEATH = 5_000;

const parent = process.ppid;
const nap = new Int32Array(new SharedArrayBuffer(4));

function sleep(ms) {
  Atomics.wait(nap, 0, 0, ms);
}

/** Returns whether the process was there. */
function send(pid, signal) {
  try {
    return process.kill(pid, signal);
  } catch (error) {
    if (error.code === 'ESRCH') return false;
    throw error;
  }
}

/**
 * Returns whether the process is dead and not reaped yet, or gone. A process is dead when its last
 * thread is.
 */
function isDead(pid) {
  try {
    const state = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ').at(-1)[0];
    return state === 'Z' && readdirSync(`/proc/${pid}/task`).length === 1;
  } catch {
    return true;
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const worker = Number(line);
  send(parent, 'SIGSTOP');
  try {
    sleep(HEAD_START);
    if (send(worker, 'SIGKILL'))
      for (let left = DEATH; left > 0 && !isDead(worker); left -= 1) sleep(1);
  } finally {
    send(parent, 'SIGCONT');
  }
}
