import { asBytes } from './bytes.mjs';
import { fixed } from './support.mjs';

/** @type {[string, number][]} */
const sizes = [
  ['1 B', 1],
  ['100 B', 100],
  ['4 kB', 4_000],
  ['64 kB', 64_000],
  ['1 MB', 1_000_000],
  ['16 MB', 16_000_000],
  ['60 MB', 60_000_000],
];

export const bufferSizes = bySize(
  'Buffer',
  ['bulkhead', 'fork-advanced', 'jest-process', 'piscina-threads'],
  (size) => {
    // Different bytes, so that misplaced ones show.
    const buffer = Buffer.allocUnsafeSlow(size);
    for (let i = 0; i < size; i++) buffer[i] = (i * 31 + (i >> 8)) & 255;
    return [buffer, (value) => asBytes(value)?.equals(buffer) === true];
  },
);

export const stringSizes = bySize(
  'string',
  [
    'bulkhead',
    'bulkhead-advanced',
    'fork-json',
    'fork-advanced',
    'jest-process',
    'piscina-threads',
  ],
  (size) => {
    const text = '0123456789 abcdefghijklmnopqrstuvwxyz\n"'
      .repeat(Math.ceil(size / 39))
      .slice(0, size);
    return [text, (value) => value === text];
  },
);

/**
 * @param {string} kind
 * @param {string[]} pools
 * @param {(size: number) => [unknown, (value: unknown) => boolean]} make returns a value, and a
 *   test for equal values
 * @returns {import('./types.mjs').Measure}
 */
function bySize(kind, pools, make) {
  return {
    title: `A ${kind} there and back, by size: trips a second`,
    about:
      'One at a time. Every value that comes back is compared with the one that was sent, outside of the measured time.',
    pools,
    baseline: 'fork-advanced',
    columns: sizes.map(([title, size]) => ({
      title,
      key: `at${size}`,
      format: fixed(size < 16_000_000 ? 0 : 1),
    })),
    limit: 120,
    long: true,
    async run(bench) {
      const pool = await bench.open('tiny');
      for (let id = 0; id < 200; id++) await pool.run({ id, echo: 'warm' });
      /** @type {Record<string, number>} */
      const figures = { wrong: 0 };
      for (const [, size] of sizes) {
        const [echo, isSame] = make(size);
        const budget = bench.quick ? 200 : 700;
        const least = size < 16_000_000 ? 10 : 3;
        let spent = 0;
        let trips = 0;
        while (spent < budget || trips < least) {
          const start = performance.now();
          const result = await pool.run({ id: trips, echo });
          spent += performance.now() - start;
          if (result.id !== trips++ || !isSame(result.value)) figures.wrong++;
        }
        figures[`at${size}`] = trips / (spent / 1000);
      }
      return figures;
    },
  };
}
