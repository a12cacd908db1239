// The files of a run, from which alone it is judged.
//
//   plan.json          the plan, which follows from the seed alone
//   parent.jsonl       events of the pool, one a line, in their order
//   worker-<pid>.log   what the worker did:
//                      life <pid> <µs> <1 if it claims its tasks>
//                      start <id> <attempt> <pid> <µs>
//                      end <id> <attempt> <pid> <µs> <digest of what it answers>
//                      said <id> <attempt> <pid> <µs>       the answer of a raw worker is sent
//                      corrupt <id> <attempt> <pid> <µs>    the payload is not the one sent
//
// Times are those of the monotonic clock, which all processes of a machine share.

import { closeSync, openSync, readdirSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { wholeLines } from '../support/lines.mjs';

/** Lines that are collected before they are written. */
const BATCH = 512;

/** The current time (µs). */
export function now() {
  return Number(process.hrtime.bigint() / 1000n);
}

/** The parent's file. Its descriptor is opened at the start, as there may be none left later. */
export class Journal {
  #file;
  #lines = [];
  /** Events by kind. */
  counts = {};

  /** @param {string} folder @param {object} plan */
  constructor(folder, plan) {
    writeFileSync(join(folder, 'plan.json'), `${JSON.stringify(plan, null, 2)}\n`);
    this.#file = openSync(join(folder, 'parent.jsonl'), 'a');
  }

  /** @param {string} event @param {object} [about] */
  note(event, about) {
    this.counts[event] = (this.counts[event] ?? 0) + 1;
    this.#lines.push(JSON.stringify({ event, at: now(), ...about }));
    if (this.#lines.length >= BATCH) this.flush();
  }

  flush() {
    if (this.#lines.length === 0) return;
    writeSync(this.#file, `${this.#lines.join('\n')}\n`);
    this.#lines = [];
  }

  close() {
    this.flush();
    closeSync(this.#file);
  }
}

/**
 * Writes a worker's lines, each at once and by a single write, so that a line survives its process.
 */
export function workerLog(folder) {
  const file = openSync(join(folder, `worker-${process.pid}.log`), 'a');
  return (mark, ...about) => writeSync(file, `${[mark, ...about].join(' ')}\n`);
}

/**
 * @param {string} folder
 * @returns {History}
 *
 * @typedef {object} History
 * @property {Record<string, any>} plan
 * @property {Record<string, any>[]} events of the parent
 * @property {{ mark: string, id: number, attempt: number, pid: number, at: number, digest?: string, claims?: boolean }[][]} workers
 *   lines of each worker's file
 */
export function readHistory(folder) {
  const lines = (name) => wholeLines(join(folder, name));
  return {
    plan: JSON.parse(readFileSync(join(folder, 'plan.json'), 'utf8')),
    events: lines('parent.jsonl').map((line) => JSON.parse(line)),
    workers: readdirSync(folder)
      .filter((name) => name.startsWith('worker-'))
      .map((name) => lines(name).map(parseWorkerLine)),
  };
}

function parseWorkerLine(line) {
  const [mark, ...words] = line.split(' ');
  if (mark === 'life')
    return { mark, pid: Number(words[0]), at: Number(words[1]), claims: words[2] === '1' };
  const [id, attempt, pid, at] = words.map(Number);
  return { mark, id, attempt, pid, at, digest: words[4] };
}
