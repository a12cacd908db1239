'use strict';

// A complete use of a pool, once. runners.test.js runs it under other test runners and fake clocks.
// It uses no timer and no other clock of its own, and none of the test runner.

/** The result of `drill`. */
const expected = {
  values: [1, 'two', { three: null }],
  bytes: [7, 7, 7],
  thrown: 'TypeError: on purpose',
  refused: 'ERR_SERIALIZATION',
  flood: 3_000,
  mapped: Array.from({ length: 50 }, (_, i) => i),
  completed: [0, 1, 2],
  streamed: [0, 1, 2],
  exec: 3,
  proxied: 'called',
  results: 100,
  messages: ['from the worker'],
  progress: [0.5],
  timeout: 'ERR_TASK_TIMEOUT',
  late: 'ERR_TASK_TIMEOUT',
  aborted: 'ABORT_ERR',
  crowded: 600,
  ends: ['timeout', 'reload', 'shutdown'],
  report: { completed: 0, rejected: 0, killed: 0 },
  closed: 'ERR_POOL_CLOSED',
};

const fail = () => {
  throw new Error('it did not fail');
};
const codeOf = (promise) => promise.then(fail, ({ code }) => code);

/**
 * @param {any} ProcessManager
 * @param {string | URL} worker drill-worker.mjs
 * @param {() => void} [onPool] called when the pool is made
 */
async function drill(ProcessManager, worker, onPool = () => {}) {
  const seen = {};
  const pool = new ProcessManager({ worker, maxWorkers: 1 });
  onPool();
  const ends = [];
  pool.on('exit', ({ reason }) => ends.push(reason));
  await pool.startWorkers();

  seen.values = await pool.run({ data: expected.values });
  seen.bytes = [...(await pool.run({ data: new Uint8Array(3).fill(7) }))];
  seen.thrown = await pool.run({ type: 'throw' }).then(fail, String);
  seen.refused = await codeOf(pool.run({ data: 1n }));
  const flood = await Promise.all(Array.from({ length: 3_000 }, (_, i) => pool.run({ data: i })));
  seen.flood = flood.filter((value, i) => value === i).length;
  seen.mapped = [];
  for await (const value of pool.map(expected.mapped.map((data) => ({ data }))))
    seen.mapped.push(value);
  seen.completed = [];
  for await (const value of pool.map(items(), { ordered: false })) seen.completed.push(value);
  seen.streamed = [];
  for await (const value of pool.stream({ type: 'count', data: 3 })) seen.streamed.push(value);
  seen.exec = await pool.exec((a, b) => a + b, [1, 2]);
  seen.proxied = await pool.proxy.named();

  seen.messages = [];
  seen.progress = [];
  pool.on('message', (message) => typeof message === 'string' && seen.messages.push(message));
  pool.on('progress', (value) => seen.progress.push(value));
  const results = new Promise((resolve) => {
    let count = 0;
    pool.on('result', () => ++count === 100 && resolve(count));
  });
  pool.distributeTask({ type: 'say' });
  for (let i = 1; i < 100; i++) pool.distributeTask({ data: i });
  seen.results = await results;

  seen.timeout = await codeOf(pool.run({ type: 'loop' }, { timeout: 100 }));
  seen.late = await codeOf(pool.run({ type: 'hang' }, { timeout: 100 }));
  const aborting = new AbortController();
  const aborted = codeOf(pool.run({ type: 'hang' }, { signal: aborting.signal }));
  aborting.abort();
  seen.aborted = await aborted;

  await pool.ready();
  await pool.resize({ minWorkers: 1, maxWorkers: 1 });
  await pool.reload();
  seen.report = await pool.shutdown({ timeout: 60_000 });
  seen.ends = ends;
  seen.closed = await codeOf(pool.run(1));
  seen.crowded = await crowded(ProcessManager, worker);
  return seen;
}

async function* items() {
  for (const data of expected.completed) yield { data };
}

/** A map() that has to wait, while the queue has room for others. */
async function crowded(ProcessManager, worker) {
  const pool = new ProcessManager({ worker, maxWorkers: 1, maxQueueBytes: 1_000 });
  const aborting = new AbortController();
  const started = new Promise((resolve) => pool.once('message', resolve));
  const hanging = codeOf(pool.run({ type: 'hang', data: 'say' }, { signal: aborting.signal }));
  await started;
  const waiting = pool.run({ data: 'x'.repeat(800) });
  const values = pool.map([{ data: 'x'.repeat(600) }]);
  const first = values.next();
  aborting.abort();
  await Promise.all([hanging, waiting]);
  const { value } = await first;
  await values.return();
  await pool.shutdown();
  return value.length;
}

module.exports = { drill, expected };
