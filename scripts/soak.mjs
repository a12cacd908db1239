// Plays the ledger run after run in one process, for a given time, to find leaks.
//
//   npm run soak -- --minutes 10              from a random seed
//   npm run soak -- --minutes 10 --seed 7     the seeds 7, 8, 9, …
//
// Each run must pass, and leave nothing behind. The memory of this process must not grow: the last
// third of the time may use at most 5 % more than the second. Another process checks the histories,
// so that only the pool's memory is measured.

import { execFile } from 'node:child_process';
import { rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import { describe, planOf } from '../__test__/ledger/plan.mjs';
import { play, prepare } from '../__test__/ledger/run.mjs';
import { confine, historyFolder, randomSeed } from '../__test__/ledger/stage.mjs';
import { isRestored, possessions } from '../__test__/ledger/state.mjs';
import { Memory, ownMemory } from './memory.mjs';

const MEBIBYTE = 1024 * 1024;

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    seed: { type: 'string' },
    tasks: { type: 'string' },
  },
});
const minutes = Number(values.minutes);
const first = Number(values.seed ?? randomSeed());
confine({ args: ['--seed', String(first)], nodeArgs: ['--expose-gc'] });

/** Returns the failures of a run, or nothing. */
async function judge(folder) {
  const ledger = fileURLToPath(new URL('ledger.mjs', import.meta.url));
  try {
    await promisify(execFile)(process.execPath, [ledger, '--check', folder], {
      maxBuffer: 64 * MEBIBYTE,
    });
    return undefined;
  } catch (error) {
    return error.stdout || String(error);
  }
}

await prepare();
const before = possessions();
const memory = new Memory(ownMemory);
const totals = {};
const end = performance.now() + minutes * 60_000;
let runs = 0;
let failure;
while (failure === undefined && performance.now() < end) {
  const plan = planOf(first + runs, values.tasks && Number(values.tasks));
  console.log(describe(plan));
  const folder = historyFolder(plan.seed);
  const counts = await play(plan, folder);
  failure = await judge(folder);
  if (failure === undefined) rmSync(folder, { recursive: true });
  for (const [name, count] of Object.entries(counts)) totals[name] = (totals[name] ?? 0) + count;
  runs += 1;
}

const { text, grows } = memory.verdict();
const after = possessions();
const { accepted, completed, failed, cancelled, retried, exit, strike } = totals;
console.log(`
${runs} runs, seeds ${first} to ${first + runs - 1}
${accepted} tasks: ${completed} completed, ${failed} failed, ${cancelled} cancelled; ${retried} started again
${exit} workers came and went, ${strike} strikes from outside
children ${after.children.length}, descriptors ${after.descriptors} (${before.descriptors}), threads ${after.threads} (${before.threads})
memory, mean of each third in MiB: ${text}`);
if (failure !== undefined) console.log(failure);
if (!isRestored(after, before)) console.log('something is left');
if (grows) console.log('memory grows');
if (failure !== undefined || !isRestored(after, before) || grows) process.exitCode = 1;
