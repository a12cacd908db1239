import { processPools, threadPools } from '../pools/catalogue.mjs';
import { quantile } from '../statistics.mjs';
import { fixed, isTinyResult, load, tinyTask } from './support.mjs';

/** @type {import('./types.mjs').Measure} */
const common = {
  title: 'Round trip, one task at a time, free to use all cores',
  about:
    'Mostly the time to wake a sleeping core, and the placement of the processes: single runs differ by a factor of three.',
  pools: [
    'bulkhead',
    'fork-json',
    'fork-advanced',
    'fork-json-queued',
    ...processPools,
    ...threadPools,
  ],
  columns: [
    { title: 'p50 µs', key: 'p50Us', format: fixed(1) },
    { title: 'x fork-json', key: 'p50Us', ratio: true },
    { title: 'p99 µs', key: 'p99Us', format: fixed(1) },
    { title: 'trips/s', key: 'perSecond', format: fixed(0) },
  ],
  async run(bench) {
    const pool = await bench.open('tiny');
    let wrong = await load(pool, 1000, 1, tinyTask, isTinyResult);
    const count = bench.quick ? 2000 : 5000;
    const trips = [];
    const start = performance.now();
    for (let id = 0; id < count; id++) {
      const sent = performance.now();
      const result = await pool.run(tinyTask(id));
      trips.push((performance.now() - sent) * 1000);
      if (!isTinyResult(result, id)) wrong++;
    }
    const perSecond = count / ((performance.now() - start) / 1000);
    return { wrong, p50Us: quantile(trips, 0.5), p99Us: quantile(trips, 0.99), perSecond };
  },
};

/** @type {import('./types.mjs').Measure} */
export const roundTrip = {
  ...common,
  goals: [
    { says: 'p50', key: 'p50Us', atMost: 1, over: ['fork-json'] },
    { says: 'p50', key: 'p50Us', atMost: 1.3, over: ['piscina-threads'] },
  ],
};

/** @type {import('./types.mjs').Measure} */
export const roundTripPinned = {
  ...common,
  title: 'Round trip, one task at a time, all of it on one core',
  about: 'With `taskset`: the time of the software, without the wake-up of another core.',
  goals: [{ says: 'p50', key: 'p50Us', atMost: 0.85, over: ['fork-json'] }],
  pinned: true,
};
