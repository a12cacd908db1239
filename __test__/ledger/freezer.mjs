// Stops its parent for a while, as a debugger, a container's freezer or a closed lid does, and has
// a worker die meanwhile: what the worker had still said waits unread beside the news of its death.
//
// Is given one worker's pid a line on its standard input, and ends with it.

import { readdirSync, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';

/** ms in which the worker gets on with what it has. */
const HEAD_START = 20;
/**
 * ms for it to die, which the machine may make long. Nothing depends on its having died, but that
 * the run shows less.
 */
const DEATH = 5_000;

const parent = process.ppid;
const nap = new Int32Array(new SharedArrayBuffer(4));

function sleep(ms) {
  Atomics.wait(nap, 0, 0, ms);
}

/** Whether the process was there. */
function send(pid, signal) {
  try {
    return process.kill(pid, signal);
  } catch (error) {
    if (error.code === 'ESRCH') return false;
    throw error;
  }
}

/** Dead and not reaped yet, or gone. A process is dead when the last of its threads is. */
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
