// Plays a plan against a real pool, up to its end and a little further.

import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import ProcessManager from '../../index.mjs';
import { brief } from './brief.mjs';
import { continueAll } from './calls.mjs';
import { checkClosed, checkLedger, checkRefusals, checkTasks } from './rules.mjs';
import { World } from './world.mjs';

const pathOf = (name) => fileURLToPath(new URL(name, import.meta.url));

/** The longest time that a step waits for something to happen (ms). */
const IMPATIENCE = 100;
/** The longest time that a step waits for a worker to get ready (ms). */
const START = 400;

/** The number of workers that get ready. */
const STARTS = { shell: 'all', 'none-starts': '0', 'one-starts': '1', 'three-start': '3' };

/**
 * @param {import('./plan.mjs').Plan} plan
 * @param {string} folder
 */
export function poolOptions({ pool: { kind, options } }, folder) {
  const { minWorkers, maxWorkers = 2, serialization, ...rest } = options;
  const size =
    minWorkers === undefined
      ? { maxWorkers }
      : { minWorkers: Math.min(minWorkers, maxWorkers), maxWorkers };
  const common = {
    gracePeriod: 100,
    retryDelay: 5,
    stdio: 'ignore',
    restart:
      kind in STARTS && kind !== 'shell'
        ? { limit: 1, minDelay: 1, maxDelay: 2 }
        : { minDelay: 1, maxDelay: 10 },
    ...rest,
    ...size,
  };
  if (kind === 'no-command') return { ...common, worker: { command: '/no/such/command' } };
  if (kind in STARTS)
    return {
      ...common,
      worker: { command: 'sh', args: [pathOf('worker.sh'), folder, STARTS[kind]] },
    };
  const node = {
    ...common,
    argv: [folder],
    ...(serialization === undefined ? {} : { serialization }),
  };
  if (kind === 'built-in') return node;
  return { ...node, worker: kind === 'node' ? pathOf('worker.mjs') : pathOf('no-such-module.mjs') };
}

/**
 * Plays the steps, without the end.
 *
 * @param {World} world
 */
export async function playSteps(world) {
  const { plan, folder } = world;
  world.listen(new ProcessManager(poolOptions(plan, folder)));
  for (const step of plan.steps) {
    if ('pause' in step) await PAUSES[step.pause](world, step.ms);
    else world.perform(/** @type {import('./plan.mjs').Call} */ (step));
  }
}

/** @type {Record<string, (world: World, ms: number) => Promise<unknown>>} */
const PAUSES = {
  microtask: () => Promise.resolve(),
  turn: () => new Promise((resolve) => setImmediate(resolve)),
  time: (_, ms) => sleep(ms),
  event: (world) => within(IMPATIENCE, world.event()),
  settled: (world) => {
    const before = world.pending.size;
    return waitFor(world, () => world.pending.size < before, IMPATIENCE);
  },
  online: (world) => waitFor(world, () => world.onlines.size > 0, START),
};

/** Resolves with the promise, or with false after some time. */
async function within(ms, promise) {
  const stop = new AbortController();
  const late = sleep(ms, false, { signal: stop.signal }).catch(() => false);
  try {
    return await Promise.race([promise, late]);
  } finally {
    stop.abort();
  }
}

/**
 * Waits for a state of the world, which changes only when something happens.
 *
 * @param {World} world
 * @param {() => boolean} holds
 * @param {number} patience ms
 */
export async function waitFor(world, holds, patience) {
  const deadline = performance.now() + patience;
  while (!holds()) {
    const left = deadline - performance.now();
    if (left <= 0) return false;
    await within(left, world.event());
  }
  return true;
}

/**
 * Closes a pool, and checks what has to hold then.
 *
 * @param {World} world
 * @param {number} patience ms
 */
export async function close(world, patience) {
  const { how, timeout } = world.plan.end;
  const isBounded = ['terminate', 'timeout'].includes(how);
  world.isEnding = true;
  if (!isBounded) {
    continueAll(world);
    world.release();
  }
  const calls = {
    shutdown: { call: 'shutdown' },
    timeout: { call: 'shutdown', timeout },
    running: { call: 'shutdown', drain: 'running' },
    dispose: { call: 'dispose' },
    terminate: { call: 'terminate' },
  };
  world.perform(calls[how], ' at the end');
  const closed = world.pool.shutdown();
  const isClosed = await within(
    patience,
    closed.then(() => true),
  );
  if (!isClosed) return hangs(world, 'the end of the pool');
  // Events from here on are too late.
  world.isOver = true;
  world.release();
  if (!(await waitFor(world, () => world.pending.size === 0, patience)))
    return hangs(world, [...world.pending.values()].join('; '));
  await thrownIsSeen(world, patience);
  // An error event without a listener throws behind the event, in a turn of the event loop of its
  // own.
  if (!world.plan.hearsErrors) await waitFor(world, () => world.isSettled, patience);
  checkTasks(world);
  checkClosed(world, checkLedger(world));
  if (!(await within(patience, checkRefusals(world)))) hangs(world, 'a call of a closed pool');
}

/**
 * Waits until a pool that is not closed has done all it was asked for.
 *
 * @param {World} world
 * @param {number} patience ms
 */
export async function settle(world, patience) {
  world.isEnding = true;
  continueAll(world);
  world.release();
  if (!(await waitFor(world, () => world.pending.size === 0 && world.isSettled, patience))) {
    hangs(world, [...world.pending.values()].join('; '));
    checkTasks(world);
  }
  await thrownIsSeen(world, patience);
  world.pool.unref();
}

/** Errors thrown in listeners are uncaught exceptions, which may take a turn of the event loop. */
async function thrownIsSeen(world, patience) {
  if (await waitFor(world, () => world.thrown.size === 0, patience)) return;
  world.wrong('uncaught exceptions', `never seen: ${[...world.thrown].map(brief).join('; ')}`);
}

/** @param {World} world */
function hangs(world, what) {
  world.wrong('hangs', `${what}; ${brief(world.pool.stats())}`);
}
