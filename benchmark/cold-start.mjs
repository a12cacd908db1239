// Measures one cold start, for measures/cold.mjs: node benchmark/cold-start.mjs <pool> <workers>

import { pools } from './pools/catalogue.mjs';
import { descendants, kill } from './proc.mjs';

const [name, workers] = process.argv.slice(2);
process.env.BENCHMARK_HANDLER = 'tiny';
const start = performance.now();
const pool = await pools[name].open({ workers: Number(workers) });
const result = await pool.run({ id: 1 });
console.log(JSON.stringify({ ms: performance.now() - start, right: result.id === 1 }));
kill(descendants(process.pid));
process.exit(0);
