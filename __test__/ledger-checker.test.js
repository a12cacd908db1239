// The checker of the ledger is worth only what it finds: there is one forged history for each way
// to break a promise.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { check } from './ledger/checker.mjs';
import { readHistory } from './ledger/history.mjs';
import { planOf } from './ledger/plan.mjs';
import { ledgerFolder, readLedger } from './support/ledger.js';

const POSSESSIONS = { children: [], descriptors: 20, threads: 10 };
const PID = 11;

/**
 * A run of two tasks on one worker in which nothing goes wrong. Each test changes it.
 *
 * @param {(history: import('./ledger/history.mjs').History) => void} [change]
 */
function forged(change = () => {}) {
  const plan = planOf(1, 2);
  Object.assign(plan, { close: 'drain', faults: {}, strikes: [], ranked: false, changes: false });
  plan.options = { maxWorkers: 1, concurrency: 1, retries: 0, gracePeriod: 100 };
  const task = (id, at) => [
    { event: 'invoke', at, id, deed: 'work', retries: 0, timeout: 0, promised: false },
    { event: 'accepted', at, id },
  ];
  const settled = (id, at) => ({
    event: 'settled',
    at,
    id,
    as: 'fulfilled',
    digest: `d${id}`,
    pid: PID,
    attempt: 1,
  });
  const counters = { accepted: 2, completed: 2, failed: 0, cancelled: 0, retried: 0 };
  const history = {
    plan,
    events: [
      { event: 'begin', at: 0, before: POSSESSIONS },
      ...task(0, 1),
      ...task(1, 2),
      { event: 'online', at: 10, id: 1, pid: PID },
      settled(0, 25),
      settled(1, 45),
      { event: 'exit', at: 60, pid: PID, code: 0, signal: null, reason: 'shutdown' },
      {
        event: 'end',
        at: 70,
        after: POSSESSIONS,
        stats: { tasks: counters },
        closed: { took: 10 },
        stuck: false,
      },
    ],
    workers: [
      [
        { mark: 'life', pid: PID, at: 5, claims: true },
        { mark: 'start', id: 0, attempt: 1, pid: PID, at: 15 },
        { mark: 'end', id: 0, attempt: 1, pid: PID, at: 20, digest: 'd0' },
        { mark: 'start', id: 1, attempt: 1, pid: PID, at: 30 },
        { mark: 'end', id: 1, attempt: 1, pid: PID, at: 40, digest: 'd1' },
      ],
    ],
  };
  change(history);
  return check(history);
}

/** The events of a kind, or the only one. */
const all = (history, kind) => history.events.filter(({ event }) => event === kind);
const one = (history, kind, id) =>
  all(history, kind).find((event) => id === undefined || event.id === id);
const counters = (history) => one(history, 'end').stats.tasks;
const remove = (list, item) => list.splice(list.indexOf(item), 1);

/** Turns a task into a rejected one, in the counters as well. */
function reject(history, id, about) {
  const settled = one(history, 'settled', id);
  Object.assign(settled, { as: 'rejected', digest: undefined, ...about });
  counters(history).completed -= 1;
  counters(history)[settled.as === 'cancelled' ? 'cancelled' : 'failed'] += 1;
}

/** Makes the worker die, for this cause. */
function die(history, signal = 'SIGKILL') {
  Object.assign(one(history, 'exit'), { code: null, signal, reason: 'crashed' });
  history.events.unshift({ event: 'strike', at: 3, what: 'kill', pid: PID });
}

test('the checker accepts a run in which nothing went wrong', () => {
  expect(forged()).toEqual([]);
});

test('the checker accepts deaths, retries, cancelling and time limits', () => {
  const crash = (history) => {
    die(history);
    history.workers[0].pop();
    reject(history, 1, { code: 'ERR_WORKER_CRASHED', maybeExecuted: true });
  };
  expect(forged(crash)).toEqual([]);
  const cancelled = (history) => {
    history.events.splice(5, 0, { event: 'cancel', at: 9, id: 1 });
    history.workers[0].splice(3);
    reject(history, 1, { as: 'cancelled', code: 'ABORT_ERR', pid: undefined });
  };
  expect(forged(cancelled)).toEqual([]);
  const late = (history) => {
    one(history, 'invoke', 1).timeout = 1;
    reject(history, 1, { code: 'ERR_TASK_TIMEOUT' });
  };
  expect(forged(late)).toEqual([]);
  const retried = (history) => {
    one(history, 'invoke', 1).retries = 1;
    one(history, 'settled', 1).attempt = 2;
    history.events.splice(6, 0, { event: 'retry', at: 35, id: 1, attempt: 2 });
    counters(history).retried = 1;
    Object.assign(history.workers[0].at(-1), { attempt: 2 });
    history.workers[0].splice(4, 0, { mark: 'start', id: 1, attempt: 2, pid: PID, at: 36 });
  };
  expect(forged(retried)).toEqual([]);
  const unheard = (history) => {
    crash(history);
    history.workers[0].push({ mark: 'end', id: 1, attempt: 1, pid: PID, at: 40, digest: 'd1' });
  };
  expect(forged(unheard)).toEqual([]);
  const unbelieved = (history) => {
    unheard(history);
    history.workers[0].push({ mark: 'said', id: 1, attempt: 1, pid: PID, at: 41 });
    one(history, 'invoke', 0).deed = 'garbage';
  };
  expect(forged(unbelieved)).toEqual([]);
  const heldBehindNonsense = (history) => {
    die(history);
    one(history, 'invoke', 1).deed = 'garbage';
    reject(history, 0, { code: 'ERR_WORKER_CRASHED', maybeExecuted: true });
  };
  expect(forged(heldBehindNonsense)).toEqual([]);
});

const VIOLATIONS = [
  [
    'I1',
    'a task without an outcome',
    (history) => remove(history.events, one(history, 'settled', 1)),
  ],
  [
    'I1',
    'a task with two outcomes',
    (history) => history.events.splice(6, 0, { ...one(history, 'settled', 0) }),
  ],
  [
    'I1',
    'a pool that is stuck',
    (history) => {
      one(history, 'end').stuck = true;
    },
  ],
  [
    'I2',
    'an outcome of a task that was not submitted',
    (history) => history.events.splice(6, 0, { ...one(history, 'settled', 0), id: 99 }),
  ],
  [
    'I2',
    'an outcome of a refused task',
    (history) => remove(history.events, one(history, 'accepted', 1)),
  ],
  [
    'I2',
    'a start of a task that was not submitted',
    (history) => history.workers[0].push({ mark: 'start', id: 99, attempt: 1, pid: PID, at: 50 }),
  ],
  [
    'I3',
    'a task that starts twice',
    (history) => history.workers.push([{ mark: 'start', id: 0, attempt: 1, pid: 12, at: 16 }]),
  ],
  [
    'I3',
    'a second start that is told it is the first',
    (history) => {
      one(history, 'invoke', 1).retries = 1;
      history.workers[0].splice(4, 0, { mark: 'start', id: 1, attempt: 1, pid: PID, at: 36 });
    },
  ],
  [
    'I3',
    'a second start that no retry announced',
    (history) => {
      one(history, 'invoke', 1).retries = 1;
      history.workers[0].splice(4, 0, { mark: 'start', id: 1, attempt: 2, pid: PID, at: 36 });
    },
  ],
  ['I4', 'a result without an end', (history) => history.workers[0].pop()],
  [
    'I4',
    'a result that is not what the worker answered',
    (history) => {
      one(history, 'settled', 1).digest = 'd0';
    },
  ],
  [
    'I4',
    'a result by another worker than the one that ran the task',
    (history) => {
      one(history, 'settled', 1).pid = 12;
    },
  ],
  [
    'I4',
    'a payload that was changed on its way',
    (history) => history.workers[0].push({ mark: 'corrupt', id: 1, attempt: 1, pid: PID, at: 31 }),
  ],
  [
    'I5',
    'a task that is said not to have run, and did',
    (history) => {
      die(history);
      reject(history, 1, { code: 'ERR_WORKER_CRASHED', maybeExecuted: false });
    },
  ],
  [
    'I5',
    'a task that was cancelled while it waited, and runs',
    (history) => {
      history.events.splice(5, 0, { event: 'cancel', at: 9, id: 1 });
      reject(history, 1, { as: 'cancelled', code: 'ABORT_ERR', pid: undefined, at: 9 });
    },
  ],
  [
    'I6',
    'an end without a start',
    (history) => {
      history.workers[0].splice(3, 1);
    },
  ],
  [
    'I6',
    'a start that ends twice',
    (history) => {
      one(history, 'invoke', 1).retries = 1;
      history.workers[0].push({ ...history.workers[0].at(-1), at: 41 });
    },
  ],
  [
    'I7',
    'a later task that overtakes',
    (history) => {
      for (const line of history.workers[0]) if (line.mark !== 'life') line.id = 1 - line.id;
      for (const [id, digest] of [
        [0, 'd1'],
        [1, 'd0'],
      ]) {
        one(history, 'settled', id).digest = digest;
      }
    },
  ],
  [
    'I8',
    'a result after the exit of its worker',
    (history) => {
      const settled = one(history, 'settled', 1);
      remove(history.events, settled);
      history.events.splice(history.events.indexOf(one(history, 'exit')) + 1, 0, settled);
    },
  ],
  [
    'I8',
    'a worker that is online after its exit',
    (history) => {
      const online = one(history, 'online');
      remove(history.events, online);
      history.events.push(online);
    },
  ],
  ['I8', 'two exits', (history) => history.events.push({ ...one(history, 'exit') })],
  ['I8', 'a worker without an exit', (history) => remove(history.events, one(history, 'exit'))],
  [
    'I9',
    'a child that is left',
    (history) => {
      one(history, 'end').after = { ...POSSESSIONS, children: ['12 Z'] };
    },
  ],
  [
    'I9',
    'a descriptor that is left',
    (history) => {
      one(history, 'end').after = { ...POSSESSIONS, descriptors: 21 };
    },
  ],
  [
    'I9',
    'a thread that is left',
    (history) => {
      one(history, 'end').after = { ...POSSESSIONS, threads: 11 };
    },
  ],
  [
    'I9',
    'counters that do not add up',
    (history) => {
      counters(history).completed = 1;
    },
  ],
  [
    'I9',
    'a pool that takes too long to close',
    (history) => {
      one(history, 'end').closed.took = 60_000;
    },
  ],
  ['I9', 'a run without an end', (history) => remove(history.events, one(history, 'end'))],
  [
    'I10',
    'a death that costs a task which had ended before',
    (history) => {
      die(history);
      reject(history, 0, { code: 'ERR_WORKER_CRASHED', maybeExecuted: true });
    },
  ],
  [
    'I10',
    'a death that costs a task which had ended long before its worker wrote nonsense',
    (history) => {
      die(history);
      one(history, 'invoke', 1).deed = 'garbage';
      for (const line of history.workers[0].slice(3)) line.at += 100_000;
      reject(history, 0, { code: 'ERR_WORKER_CRASHED', maybeExecuted: true });
    },
  ],
  [
    'I10',
    'a second start of a task which had ended before',
    (history) => {
      die(history);
      one(history, 'invoke', 0).retries = 1;
      history.events.splice(6, 0, { event: 'retry', at: 42, id: 0, attempt: 2 });
    },
  ],
  [
    'I10',
    'a death that costs more tasks than ran',
    (history) => {
      die(history);
      reject(history, 0, { code: 'ERR_WORKER_CRASHED', maybeExecuted: true });
      reject(history, 1, { code: 'ERR_WORKER_CRASHED', maybeExecuted: true });
    },
  ],
  [
    'I10',
    'a death that costs a task which had been answered',
    (history) => {
      die(history);
      history.workers[0].push({ mark: 'said', id: 1, attempt: 1, pid: PID, at: 41 });
      reject(history, 1, { code: 'ERR_WORKER_CRASHED', maybeExecuted: true });
    },
  ],
  [
    'I10',
    'a second start of a task which had been answered',
    (history) => {
      die(history);
      one(history, 'invoke', 1).retries = 1;
      history.workers[0].push({ mark: 'said', id: 1, attempt: 1, pid: PID, at: 41 });
      history.events.splice(6, 0, { event: 'retry', at: 42, id: 1, attempt: 2 });
    },
  ],
  [
    'I11',
    'a worker that dies without a cause',
    (history) => {
      die(history);
      remove(history.events, one(history, 'strike'));
    },
  ],
  [
    'I11',
    'a worker that is paused, and killed for it',
    (history) => {
      die(history);
      one(history, 'strike').what = 'pause';
    },
  ],
  [
    'I11',
    'a task that fails without a cause',
    (history) => reject(history, 1, { code: 'ERR_TASK_TIMEOUT' }),
  ],
  [
    'I11',
    'a cancelled task without a cancellation',
    (history) => reject(history, 1, { as: 'cancelled', code: 'ABORT_ERR' }),
  ],
  [
    'I11',
    'an error of an unknown kind',
    (history) => reject(history, 1, { code: 'ERR_POOL_BROKEN' }),
  ],
];

test.each(VIOLATIONS)('[C4] %s: the checker finds %s', (invariant, _, change) => {
  expect(forged(change).map((found) => found.invariant)).toContain(invariant);
});

test('the checker does not take a line that SIGKILL cut off for another task’s', () => {
  const folder = ledgerFolder();
  writeFileSync(join(folder, 'plan.json'), '{}');
  writeFileSync(join(folder, 'parent.jsonl'), '');
  writeFileSync(join(folder, 'worker-7.log'), 'start 305 1 7 10\nend 305 1 7 11 d\nstart 30');
  expect(readHistory(folder).workers[0].map(({ mark, id }) => [mark, id])).toEqual([
    ['start', 305],
    ['end', 305],
  ]);

  const counted = ledgerFolder();
  writeFileSync(join(counted, '7.log'), 'start 305 1\nend 305 1\nstart 30');
  const { starts } = readLedger(counted, 400);
  expect([starts[305], starts[30]]).toEqual([1, 0]);
});
