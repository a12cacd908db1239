// Repeats exits, thread terminations and shutdowns at random points: `npm run repeat -- [--runs
// 1000] [--parallel 2] [--only <text>]`. Exits with 1 if a run failed.

import { parseArgs } from 'node:util';
import { repeat, SCENARIOS } from '../__test__/support/repeat.mjs';

const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '1000' },
    parallel: { type: 'string', default: '2' },
    only: { type: 'string', default: '' },
  },
});
const [runs, parallel] = [Number(values.runs), Number(values.parallel)];

for (const name of Object.keys(SCENARIOS).filter((scenario) => scenario.includes(values.only))) {
  const start = performance.now();
  let told = 0;
  const onProgress = (/** @type {number} */ done) => {
    if (done - told < 100) return;
    told = done;
    console.log(`  ${done}`);
  };
  console.log(`${name}: ${runs} runs`);
  const failures = await repeat(name, runs, { parallel, onProgress });
  for (const failure of failures) console.error(`  ${failure}`);
  const seconds = ((performance.now() - start) / 1000).toFixed(0);
  console.log(
    `  ${failures.length === 0 ? 'all well' : `${failures.length} went wrong`}, ${seconds} s`,
  );
  if (failures.length > 0) process.exitCode = 1;
}
