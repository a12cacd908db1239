// The deeds of a worker of the ledger with a task: it writes down the start, works or commits its
// fault, and writes down the end.

import { closeSync, readlinkSync, writeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { now, workerLog } from './history.mjs';
import { digest, make } from './payload.mjs';

const CHANNEL = 3;

/** @param {string} folder of the run's history */
export function worker(folder) {
  const { pid } = process;
  const log = workerLog(folder);

  /** @param {{ claims: boolean }} how */
  function born({ claims }) {
    log('life', pid, now(), claims ? 1 : 0);
  }

  /**
   * @param {object} task as the parent has sent it
   * @param {{ attempt: number, signal?: AbortSignal, lie?: (deed: string) => void }} about
   */
  function perform(task, { attempt, signal, lie }) {
    const { id, deed, work, waits, until, payload, sent, answer } = task.data;
    log('start', id, attempt, pid, now());
    if (digest(payload) !== sent) log('corrupt', id, attempt, pid, now());
    const fails = attempt <= until;
    const end = () => {
      const value = make(answer);
      const mark = digest(value);
      log('end', id, attempt, pid, now(), mark);
      if (deed === 'throw')
        throw Object.assign(new RangeError('as planned'), { code: 'E_PLANNED', mark });
      return value;
    };
    if (fails && deed === 'hang' && waits) return aborted(signal, task.data.hangs).then(end);
    if (fails) commit(deed, task.data, lie);
    if (waits) return sleep(work).then(end);
    spin(work);
    return end();
  }

  /** The end of a task, for a worker that knows when its whole answer is in the channel. */
  function said(id, attempt) {
    log('said', id, attempt, pid, now());
  }

  return { born, perform, said };
}

/** Returns whether this process has the shared memory in which tasks are claimed. */
export function hasPage() {
  try {
    return readlinkSync('/proc/self/fd/4').includes('bulkhead-page');
  } catch {
    return false;
  }
}

function spin(ms) {
  if (ms === 0) return;
  const end = performance.now() + ms;
  while (performance.now() < end);
}

/** Dies of the signal, whose delivery need not be immediate. */
function die(signal) {
  process.kill(process.pid, signal);
  for (;;);
}

function aborted(signal, patience) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, patience);
    signal?.addEventListener('abort', () => {
      clearTimeout(timer);
      resolve();
    });
  });
}

/** Damages the channel, unless a task that runs beside this one has closed it. */
function onChannel(act) {
  try {
    act(CHANNEL);
  } catch (error) {
    if (error.code !== 'EBADF') throw error;
  }
}

/** Writes invalid frames to the channel. */
function scrawl(text) {
  onChannel((channel) => writeSync(channel, text));
}

function commit(deed, { id, hangs }, lie) {
  switch (deed) {
    case 'kill':
      return die('SIGKILL');
    case 'segv':
      return die('SIGSEGV');
    case 'exit0':
      return process.exit(0);
    case 'exit1':
      return process.exit(1);
    case 'half':
      scrawl('{"type":"result","id":1,"elap');
      return id % 2 === 0 ? die('SIGKILL') : process.exit(0);
    case 'garbage':
      return scrawl('neither JSON nor anything else\n');
    case 'close':
      return onChannel(closeSync);
    case 'disconnect':
      return process.disconnect?.() ?? onChannel(closeSync);
    case 'hang':
      return spin(hangs);
    case 'foreign':
    case 'stale':
    case 'twice':
      return lie(deed);
    default:
      return undefined;
  }
}
