// Plays random plans against the public API, and shrinks the first that fails: `npm run explore:api
// -- --runs 2000`.
//
//   --runs 2000          number of plans (FC_RUNS)
//   --seed 7             the plans of this seed (FC_SEED)
//   --path 12:0:3        only the plan at this path, as a failure prints it (FC_PATH)
//   --plan FILE          only the plan in this file, as a failure writes it
//   --times 20           plays of each plan: processes are not seeded, so a plan that failed once may pass
//   --shrink 60          time limit of shrinking (s)
//   --patience 20000     time after which a step counts as hanging (ms)
//   --timeline           prints the events of the run that failed, one a line
//
// Exits with 1 if a plan failed.

import { readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import fc from 'fast-check';
import { anyPlan, describe } from '../__test__/public-api/plan.mjs';
import { prepare, runPlan, watchProcess } from '../__test__/public-api/run.mjs';

const { env } = process;
const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: env.FC_RUNS ?? '200' },
    seed: { type: 'string', default: env.FC_SEED ?? String(Math.floor(Math.random() * 2 ** 31)) },
    path: { type: 'string', default: env.FC_PATH },
    plan: { type: 'string' },
    times: { type: 'string', default: '1' },
    shrink: { type: 'string', default: '60' },
    patience: { type: 'string', default: '20000' },
    timeline: { type: 'boolean', default: false },
  },
});
const [runs, seed, times, patience] = [values.runs, values.seed, values.times, values.patience].map(
  Number,
);

/** Plays of each smaller plan, because a failure may depend on timing. */
const TRIES = 3;
/** Plans between two progress lines. */
const PACE = 100;
/** Time limit of a smaller plan (ms). */
const SHORT = 5_000;

watchProcess();
await prepare();
/** End of shrinking, once a plan has failed. */
let deadline = Infinity;
/**
 * The smallest plan that failed.
 *
 * @type {{ plan: import('../__test__/public-api/plan.mjs').Plan, wrong: { rule: string, what:
 *   string }[], timeline: string[] } | undefined}
 */
let failure;
let done = 0;
const start = performance.now();
const elapsed = () => `${((performance.now() - start) / 1000).toFixed(0)} s`;

/** Plays a plan, and throws its first failure. */
async function hold(plan) {
  const isShrinking = failure !== undefined;
  if (performance.now() > deadline) return;
  for (let attempt = 0; attempt < (isShrinking ? TRIES : times); attempt++) {
    const { violations: wrong, timeline } = await runPlan(
      plan,
      isShrinking ? Math.min(SHORT, patience) : patience,
    );
    // Shrink to the same fault, not to another one.
    const isSame = !isShrinking || wrong.some(({ rule }) => rule === failure.wrong[0].rule);
    if (wrong.length === 0 || !isSame) continue;
    failure = { plan, wrong, timeline };
    if (!isShrinking) {
      deadline = performance.now() + Number(values.shrink) * 1000;
      console.log(
        `plan ${done + 1} fails, after ${elapsed()}: ${wrong[0].rule}: ${wrong[0].what}\n${describe(plan)}\nshrinking`,
      );
    }
    throw new Error(wrong[0].rule);
  }
  done += isShrinking ? 0 : 1;
  if (!isShrinking && done % PACE === 0) console.log(`  ${done} plans, ${elapsed()}`);
}

if (values.plan !== undefined) {
  await hold(JSON.parse(readFileSync(values.plan, 'utf8'))).catch(() => {});
} else {
  console.log(
    `${runs} plans of seed ${seed}${values.path === undefined ? '' : ` at ${values.path}`}`,
  );
  const details = await fc.check(fc.asyncProperty(anyPlan, hold), {
    numRuns: runs,
    seed,
    path: values.path,
  });
  if (failure !== undefined) {
    const { counterexamplePath, numShrinks } = details;
    console.log(
      `shrunk ${numShrinks} times; again: npm run explore:api -- --seed ${seed} --path ${counterexamplePath} --times 20`,
    );
  }
}

if (failure === undefined) {
  console.log(`${done} plans hold, ${elapsed()}`);
} else {
  const { plan, wrong, timeline } = failure;
  const file = join(tmpdir(), `bulkhead-api-plan-${seed}.json`);
  writeFileSync(file, JSON.stringify(plan));
  console.log(`\n${describe(plan)}\n`);
  for (const { rule, what } of wrong) console.log(`does not hold: ${rule}: ${what}`);
  if (values.timeline) console.log(`\n${timeline.join('\n')}`);
  console.log(`\nthe plan by itself: npm run explore:api -- --plan ${file} --times 20 --timeline`);
  // The failure may keep this process and its workers alive.
  process.exit(1);
}
