// Plays one run of the ledger, and checks it.
//
//   node scripts/ledger.mjs                       a random seed
//   node scripts/ledger.mjs --seed 7              this seed again
//   node scripts/ledger.mjs --seed 7 --tasks 500  a shorter run
//   node scripts/ledger.mjs --check FOLDER        checks a kept history
//
// Prints the seed first. The history of a failing run is kept, and its folder printed.

import { rmSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { check } from '../__test__/ledger/checker.mjs';
import { readHistory } from '../__test__/ledger/history.mjs';
import { describe, planOf } from '../__test__/ledger/plan.mjs';
import { play, prepare } from '../__test__/ledger/run.mjs';
import { confine, historyFolder, randomSeed, summary } from '../__test__/ledger/stage.mjs';

const { values } = parseArgs({
  options: { seed: { type: 'string' }, tasks: { type: 'string' }, check: { type: 'string' } },
});

/** Prints the violated invariants, and the folder of the history. */
function report(folder) {
  const wrong = check(readHistory(folder));
  if (wrong.length === 0) return true;
  console.log(`${summary(wrong)}\nhistory: ${folder}`);
  return false;
}

if (values.check !== undefined) {
  process.exitCode = report(values.check) ? 0 : 1;
} else {
  const plan = planOf(Number(values.seed ?? randomSeed()), values.tasks && Number(values.tasks));
  confine({
    env: plan.noPidfd ? { BULKHEAD_NO_PIDFD: '1' } : {},
    args: ['--seed', String(plan.seed)],
  });
  console.log(describe(plan));
  await prepare();
  const folder = historyFolder(plan.seed);
  await play(plan, folder);
  if (report(folder)) rmSync(folder, { recursive: true });
  else process.exitCode = 1;
}
