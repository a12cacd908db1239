// Measures one pool in this process, and prints one line of JSON. benchmark/campaign.mjs starts one
// process for each pool and round.
//
//   node benchmark/measure.mjs <measure> <pool> <workers> [quick]

import { measures } from './measures/catalogue.mjs';
import { pools } from './pools/catalogue.mjs';
import { descendants, kill } from './proc.mjs';

const [test, name, workers, quick] = process.argv.slice(2);

/** @type {import('./measures/types.mjs').Bench} */
const bench = {
  name,
  workers: Number(workers),
  quick: quick === 'quick',
  open(handler, options) {
    process.env.BENCHMARK_HANDLER = handler;
    return Promise.resolve(pools[name].open({ workers: Number(workers), ...options }));
  },
};

// Exit without closing the pool: some pools close slowly or never, and some have sleeping tasks.
process.on('exit', () => kill(descendants(process.pid)));

let failed = false;
try {
  console.log(JSON.stringify({ figures: await measures[test].run(bench) }));
} catch (error) {
  console.log(JSON.stringify({ error: `${error}` }));
  failed = true;
}

process.exit(failed ? 1 : 0);
