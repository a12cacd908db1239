// Rules that hold once a pool has ended.

import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { wholeLines } from '../support/lines.mjs';
import { brief } from './brief.mjs';

/**
 * Reads what the workers wrote down by themselves.
 *
 * @param {string} folder
 * @returns {{ pids: number[], starts: Map<number, number[]> }} `starts`: the attempts of each task, by its number
 */
export function readLedger(folder) {
  const pids = [];
  const starts = new Map();
  for (const name of readdirSync(folder)) {
    if (!/^\d+$/.test(name)) continue;
    pids.push(Number(name));
    for (const line of wholeLines(join(folder, name))) {
      const [, u, attempt] = line.match(/^start (\d+) (\d+)$/) ?? [];
      if (u !== undefined)
        starts.set(Number(u), [...(starts.get(Number(u)) ?? []), Number(attempt)]);
    }
  }
  return { pids, starts };
}

/**
 * Checks the rules of every end.
 *
 * @param {import('./world.mjs').World} world
 */
export function checkLedger(world) {
  const { pids, starts } = readLedger(world.folder);
  for (const [u, attempts] of starts) {
    const task = world.tasks.get(u);
    if (task === undefined) {
      world.wrong('ledger', `no. ${u} was started, and never given`);
      continue;
    }
    const { label, retries, outcome } = task;
    if (task.state === 'refused')
      world.wrong('nothing refused is executed', `${label} was started`);
    if (attempts.length > retries + 1)
      world.wrong(
        'starts',
        `${label} with ${retries} retries was started ${attempts.length} times`,
      );
    if (new Set(attempts).size < attempts.length)
      world.wrong('starts', `${label} has two starts of one number: ${attempts}`);
    if (outcome?.error?.maybeExecuted === false)
      world.wrong('maybeExecuted', `${label} was started, and said not to be`);
  }
  return pids;
}

/**
 * Checks the rules of every end that can be awaited.
 *
 * @param {import('./world.mjs').World} world
 */
export function checkTasks(world) {
  for (const { label, state, outcome } of world.tasks.values()) {
    if (state === 'accepted' && outcome === null)
      world.wrong('every task ends', `${label} has no outcome`);
  }
}

/**
 * Checks the rules of a pool that was closed.
 *
 * @param {import('./world.mjs').World} world
 * @param {number[]} pids of all workers that ever lived
 */
export function checkClosed(world, pids) {
  const { pool, plan } = world;
  // A process that only stood by has a life, and is no worker.
  const workersOnly = plan.pool.options.standby === undefined;
  for (const pid of new Set([...(workersOnly ? pids : []), ...world.onlines])) {
    if (!world.exits.has(pid)) world.wrong('every worker has its exit', `${pid} has none`);
  }
  const { tasks, queue, workers } = pool.stats();
  const { accepted, completed, failed, cancelled } = tasks;
  if (accepted !== completed + failed + cancelled)
    world.wrong('stats', `the sums do not agree: ${brief(tasks)}`);
  if (queue.tasks !== 0 || queue.bytes !== 0)
    world.wrong('stats', `the queue of a closed pool: ${brief(queue)}`);
  if (workers.length > 0) world.wrong('stats', `the workers of a closed pool: ${brief(workers)}`);
  const seen = countTasks(world);
  if (seen !== null && brief(seen) !== brief({ accepted, completed, failed, cancelled }))
    world.wrong('stats', `${brief(tasks)}, where ${brief(seen)} were seen`);
  if (plan.subscribes) {
    const outcomes = [...world.published.values()];
    const count = (outcome) => outcomes.filter((each) => each === outcome).length;
    const published = {
      accepted: outcomes.length,
      completed: count('completed'),
      failed: count('failed'),
      cancelled: count('cancelled'),
    };
    if (brief(published) !== brief({ accepted, completed, failed, cancelled }))
      world.wrong('diagnostics', `${brief(published)} were published, ${brief(tasks)} are counted`);
  }
}

/**
 * Counts the tasks as their callers have seen them; null where a mapping or a stream hides that.
 */
function countTasks(world) {
  const seen = { accepted: 0, completed: 0, failed: 0, cancelled: 0 };
  for (const { call, state, outcome } of world.tasks.values()) {
    if (['map', 'stream'].includes(call.call)) return null;
    if (state !== 'accepted' || outcome === null) continue;
    seen.accepted += 1;
    if (outcome.error === undefined) seen.completed += 1;
    else if (outcome.error.code === 'ABORT_ERR') seen.cancelled += 1;
    else seen.failed += 1;
  }
  return seen;
}

/**
 * Checks that a closed pool refuses everything, and that each error says why.
 *
 * @param {import('./world.mjs').World} world
 */
export async function checkRefusals(world) {
  const { pool } = world;
  const refusals = {
    distributeTask: () => pool.distributeTask({ data: 1 }),
    run: () => pool.run({ data: 1 }),
    stream: () => pool.stream({ data: 1 }).next(),
    map: () => pool.map([{ data: 1 }]).next(),
    startWorkers: () => pool.startWorkers(),
    ready: () => pool.ready(),
    resize: () => pool.resize({ maxWorkers: 1 }),
    reload: () => pool.reload(),
    send: () => pool.send(1, 'hello'),
    broadcast: () => pool.broadcast('hello'),
  };
  for (const [name, act] of Object.entries(refusals)) {
    const outcome = await (async () => ({ value: await act() }))().catch((error) => ({ error }));
    if (outcome.error?.code !== 'ERR_POOL_CLOSED')
      world.wrong('a closed pool refuses', `${name}() gives ${brief(outcome)}`);
  }
  if (pool.cancel('shared') !== false)
    world.wrong('a closed pool refuses', 'cancel() finds a task');
  if (pool.ref() !== pool || pool.unref() !== pool)
    world.wrong('a closed pool refuses', 'ref() or unref()');
  const again = [pool.shutdown(), pool.terminate(), pool.shutdown({ timeout: 0 })];
  if (again.some((promise) => promise !== (world.closed ?? again[0])))
    world.wrong('a closed pool refuses', 'shutdown() gives another promise');
  await again[0];
  return true;
}
