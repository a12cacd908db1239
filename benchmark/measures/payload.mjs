import { processPools, threadPools } from '../pools/catalogue.mjs';
import { asBytes, typeName } from './bytes.mjs';
import { fixed } from './support.mjs';

const size = 1_000_000;
const otherProcesses = ['fork-json', 'fork-advanced', ...processPools];

/** @type {import('./types.mjs').Measure} */
export const payload = {
  title: '1 MB there and back, one at a time',
  about:
    'A string, and a Buffer. The answer has the type that the Buffer comes back as, and its bytes are compared in any case.',
  pools: ['bulkhead', 'bulkhead-advanced', ...otherProcesses, ...threadPools],
  baseline: 'fork-advanced',
  columns: [
    { title: 'string/s', key: 'stringPerSecond', format: fixed(0) },
    { title: 'x fork-advanced', key: 'stringPerSecond', ratio: true },
    { title: 'Buffer/s', key: 'bufferPerSecond', format: fixed(0) },
    { title: 'x fork-advanced', key: 'bufferPerSecond', ratio: true },
    { title: 'comes back as', key: 'bufferBackAs' },
  ],
  goals: [
    { says: 'Buffers/s', key: 'bufferPerSecond', atLeast: 3.5, over: ['fork-advanced'] },
    { says: 'Buffers/s', key: 'bufferPerSecond', atLeast: 1, over: ['piscina-threads'] },
    { says: 'strings/s', key: 'stringPerSecond', atLeast: 2.5, over: ['fork-advanced'] },
    { says: 'strings/s', key: 'stringPerSecond', atLeast: 1.3, over: ['piscina-threads'] },
    {
      says: 'strings/s',
      key: 'stringPerSecond',
      atLeast: 1,
      over: otherProcesses,
      overName: 'every process pool',
    },
  ],
  quick: true,
  async run(bench) {
    const pool = await bench.open('tiny');
    const duration = bench.quick ? 600 : 1500;
    const text = 'p'.repeat(size);
    const string = await trips(pool, text, duration, (value) => value === text);
    const buffer = Buffer.alloc(size, 112);
    const bytes = await trips(
      pool,
      buffer,
      duration,
      (value) => asBytes(value)?.equals(buffer) === true,
    );
    return {
      wrong: string.wrong + bytes.wrong,
      stringPerSecond: string.perSecond,
      stringBackAs: typeName(string.last),
      bufferPerSecond: bytes.perSecond,
      bufferBackAs: typeName(bytes.last),
    };
  },
};

/**
 * Measures round trips. The comparison takes longer than some of them, so only the first few and
 * the last results are compared, outside of the measured time.
 *
 * @param {import('./types.mjs').Pool} pool
 * @param {unknown} echo
 * @param {number} duration
 * @param {(value: unknown) => boolean} isRight
 */
async function trips(pool, echo, duration, isRight) {
  let wrong = 0;
  /** @type {any} */
  let result;
  for (let id = 0; id < 3; id++) {
    result = await pool.run({ id, echo });
    if (!isRight(result.value)) wrong++;
  }
  let count = 0;
  const start = performance.now();
  for (; performance.now() - start < duration; count++) {
    result = await pool.run({ id: count, echo });
    if (result.id !== count) wrong++;
  }
  const perSecond = count / ((performance.now() - start) / 1000);
  if (!isRight(result.value)) wrong++;
  return { wrong, perSecond, last: result.value };
}
