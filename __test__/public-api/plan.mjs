// The parts of a run: a pool, the steps, the reactions of its listeners, and its end. All of it is
// plain data, so that a plan can be shrunk, printed, and played again.

import fc from 'fast-check';
import { BAD_CALLS } from './bad-calls.mjs';

/** Channels of `node:diagnostics_channel`. */
export const CHANNELS = [
  'bulkhead:pool:open',
  'bulkhead:pool:close',
  'bulkhead:worker:online',
  'bulkhead:worker:exit',
  'bulkhead:task:start',
  'bulkhead:task:retry',
  'bulkhead:task:end',
];

/**
 * @typedef {object} Plan
 * @property {{ kind: string, options: Record<string, unknown> }} pool
 * @property {boolean} hearsErrors whether there is a listener for `error`
 * @property {boolean} hearsAll whether there are listeners for messages, progress and output as well
 * @property {boolean} subscribes whether there are subscribers to the channels of `node:diagnostics_channel`
 * @property {Reaction[]} reactions
 * @property {Step[]} steps
 * @property {End} end
 *
 * @typedef {{ at: string, nth: number, calls: Call[] }} Reaction what is done, at once, inside a listener or other user code: the
 *   nth time that it is called
 * @typedef {{ call: string } & Record<string, any>} Call
 * @typedef {Call | { pause: string, ms?: number }} Step
 * @typedef {{ how: string, timeout?: number }} End
 */

/** Kinds of workers. Those in shells start in a few ms, those in Node in a hundred. */
export const SHELL_KINDS = ['shell', 'none-starts', 'one-starts', 'three-start', 'no-command'];
export const NODE_KINDS = ['node', 'built-in', 'no-module'];

/** Kinds whose pools break sooner or later. */
export const BREAKING_KINDS = [
  'none-starts',
  'one-starts',
  'three-start',
  'no-command',
  'no-module',
];

/** Ends that end the whole process, and so need one of their own. */
export const PROGRAM_ENDS = ['leave', 'exit', 'throw', 'killed'];

/** Deeds that end a worker, or may. */
const VIOLENT_DEEDS = [
  'exit',
  'kill',
  'close',
  'disconnect',
  'garbage',
  'stranger',
  'half',
  'stray',
  'uncaught',
];
/** Deeds without an end, which need a time limit. */
const ENDLESS_DEEDS = ['hang', 'stubborn'];
const MILD_DEEDS = [
  'wait',
  'throw',
  'messages',
  'progress',
  'print',
  'huge',
  'forged',
  'nothing',
  'bigint',
  'values',
];

/** Places where user code is called. */
const PLACES = [
  'result',
  'error',
  'exit',
  'online',
  'message',
  'progress',
  'retry',
  'drain',
  'lost-key',
  'stdout',
  'onProgress',
  'getter',
  'toJSON',
  'source',
  'abort',
  ...CHANNELS,
];

/** One name is more frequent than the others, and comes first, so that shrinking ends there. */
const mostly = (value, ...others) =>
  fc.oneof(
    { weight: 3, arbitrary: fc.constant(value) },
    { weight: 1, arbitrary: fc.constantFrom(...others) },
  );

const optional = (arbitraries) => fc.record(arbitraries, { requiredKeys: [] });

/** The number of a worker, or of one of the signals that tasks share. */
const index = fc.nat({ max: 2 });

const deed = fc.oneof(
  { weight: 8, arbitrary: fc.constant('ok') },
  { weight: 4, arbitrary: fc.constantFrom(...MILD_DEEDS) },
  { weight: 2, arbitrary: fc.constantFrom(...ENDLESS_DEEDS) },
  { weight: 2, arbitrary: fc.constantFrom(...VIOLENT_DEEDS) },
);

const signal = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom('0', '1', '2') },
  { weight: 1, arbitrary: fc.constantFrom('aborted', 'soon') },
  { weight: 1, arbitrary: fc.constantFrom('deaf', 'stubborn', 'refusing') },
);

const taskOptions = fc.oneof(
  { weight: 2, arbitrary: fc.constant({}) },
  {
    weight: 3,
    arbitrary: optional({
      priority: fc.constantFrom(0, 5, -5),
      key: fc.constantFrom('a', 'b', 'c'),
      timeout: fc.constantFrom(0, 1, 20, 200),
      retries: fc.constantFrom(0, 1, 2),
      signal,
      onProgress: fc.constant(true),
      trace: fc.constant(true),
      handler: fc.constantFrom('default', 'no-such-handler'),
    }),
  },
);

/** The form of one task, which gets its number and its id when it is made. */
const task = {
  deed,
  until: mostly(9, 1, 2),
  n: fc.nat({ max: 20 }),
  id: mostly('own', 'none', 'shared', 'number'),
  trap: mostly('none', 'getter', 'toJSON'),
  options: taskOptions,
};

const reader = fc.constantFrom('all', 'ahead', 'leaves', 'throws', 'parks');

const submit = fc.oneof(
  { weight: 5, arbitrary: fc.record({ call: fc.constant('distributeTask'), ...task }) },
  { weight: 4, arbitrary: fc.record({ call: fc.constant('run'), ...task }) },
  { weight: 1, arbitrary: fc.record({ call: fc.constant('exec'), ...task }) },
  {
    weight: 1,
    arbitrary: fc.record({
      call: fc.constant('proxy'),
      name: mostly('compute', 'missing'),
      ...task,
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      call: fc.constant('map'),
      ...task,
      count: fc.nat({ max: 6 }),
      source: fc.constantFrom('array', 'generator', 'async', 'promises', 'throws', 'stalls'),
      ordered: fc.boolean(),
      highWaterMark: fc.constantFrom(undefined, 1, 3),
      reader,
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      call: fc.constant('stream'),
      ...task,
      deed: fc.oneof(fc.constant('values'), deed),
      highWaterMark: fc.constantFrom(undefined, 1, 3),
      reader,
    }),
  },
);

const close = fc.oneof(
  fc.record({ call: fc.constant('shutdown') }),
  fc.record({ call: fc.constant('shutdown'), timeout: fc.constantFrom(0, 10, 100) }),
  fc.record({ call: fc.constant('shutdown'), drain: fc.constant('running') }),
  fc.record({ call: fc.constant('terminate') }),
  fc.record({ call: fc.constant('dispose') }),
);

const bad = fc
  .nat({ max: BAD_CALLS.length - 1 })
  .map((number) => ({ call: 'bad', number, what: BAD_CALLS[number].what }));

const control = fc.oneof(
  fc.record({ call: fc.constant('ready') }),
  fc.record({ call: fc.constant('startWorkers') }),
  fc.record({
    call: fc.constant('resize'),
    size: fc.constantFrom(
      { maxWorkers: 1 },
      { maxWorkers: 3 },
      { minWorkers: 0 },
      { minWorkers: 2 },
      {},
    ),
  }),
  fc.record({ call: fc.constant('reload') }),
  fc.record({ call: fc.constant('stats') }),
  fc.record({ call: fc.constantFrom('ref', 'unref') }),
  fc.record({
    call: fc.constant('send'),
    worker: index,
    message: fc.constantFrom('text', 'bytes'),
  }),
  fc.record({ call: fc.constant('broadcast'), message: fc.constantFrom('text', 'bytes') }),
  fc.record({
    call: fc.constant('listen'),
    event: fc.constantFrom('stdout', 'message', 'progress'),
  }),
);

const cancel = fc.oneof(
  fc.record({
    call: fc.constant('cancel'),
    which: fc.constantFrom('first', 'last', 'shared', 'unknown'),
  }),
  fc.record({ call: fc.constant('abort'), signal: index }),
);

const kill = fc.oneof(
  fc.record({
    call: fc.constant('kill'),
    signal: fc.constantFrom('SIGKILL', 'SIGTERM', 'SIGSTOP'),
    worker: index,
  }),
  fc.record({ call: fc.constant('continue') }),
);

const call = fc.oneof(
  { weight: 24, arbitrary: submit },
  { weight: 8, arbitrary: control },
  { weight: 4, arbitrary: cancel },
  { weight: 4, arbitrary: kill },
  { weight: 3, arbitrary: bad },
  { weight: 1, arbitrary: close },
);

const pause = fc.oneof(
  fc.record({ pause: fc.constantFrom('microtask', 'turn') }),
  fc.record({ pause: fc.constant('time'), ms: fc.constantFrom(1, 5, 20) }),
  fc.record({ pause: fc.constantFrom('event', 'settled', 'online') }),
);

const step = fc.oneof({ weight: 3, arbitrary: call }, { weight: 1, arbitrary: pause });

/** Calls inside user code, where endings are tried more often. */
const reaction = fc.record({
  at: fc.constantFrom(...PLACES),
  nth: mostly(1, 2, 3),
  calls: fc.array(
    fc.oneof(
      { weight: 4, arbitrary: call },
      { weight: 2, arbitrary: close },
      { weight: 2, arbitrary: fc.constant({ call: 'throw' }) },
    ),
    { minLength: 1, maxLength: 3 },
  ),
});

const options = optional({
  minWorkers: fc.constantFrom(0, 1, 2),
  maxWorkers: fc.constantFrom(1, 2, 3),
  concurrency: fc.constantFrom(1, 2),
  maxQueue: fc.constantFrom(0, 1, 4),
  taskTimeout: fc.constantFrom(0, 50),
  retries: fc.constantFrom(0, 1, 2),
  retryDelay: fc.constantFrom(0, 5),
  maxTasksPerWorker: fc.constantFrom(1, 3),
  maxWorkerAge: fc.constantFrom(20),
  standby: fc.constantFrom(1, 2),
  idleTimeout: fc.constantFrom(1, 20),
  gracePeriod: fc.constantFrom(100, 20, 0),
  prefetch: fc.constantFrom('auto', 1, 4),
  maxMessageSize: fc.constantFrom(4096),
  priorityAgeing: fc.constantFrom(1),
  stdio: fc.constantFrom('pipe', 'ignore'),
  serialization: fc.constantFrom('json', 'advanced'),
});

const kindOf = {
  shell: fc.oneof(
    { weight: 12, arbitrary: fc.constant('shell') },
    { weight: 2, arbitrary: fc.constantFrom(...SHELL_KINDS) },
  ),
  node: fc.oneof(
    { weight: 6, arbitrary: fc.constant('node') },
    { weight: 2, arbitrary: fc.constantFrom(...NODE_KINDS) },
  ),
};

const end = fc.oneof(
  { weight: 4, arbitrary: fc.record({ how: fc.constant('shutdown') }) },
  { weight: 4, arbitrary: fc.record({ how: fc.constant('terminate') }) },
  {
    weight: 4,
    arbitrary: fc.record({ how: fc.constant('timeout'), timeout: fc.constantFrom(0, 20, 200) }),
  },
  { weight: 4, arbitrary: fc.record({ how: fc.constantFrom('running', 'dispose') }) },
  { weight: 3, arbitrary: fc.record({ how: fc.constant('dropped') }) },
);

const programEnd = fc.record({ how: fc.constantFrom(...PROGRAM_ENDS) });

/**
 * @param {object} which
 * @param {'shell' | 'node'} which.workers
 * @param {boolean} [which.program] plans that end with the process
 */
export function plans({ workers, program = false }) {
  return fc.record({
    pool: fc.record({ kind: kindOf[workers], options }),
    hearsErrors: mostly(true, true, true, false),
    hearsAll: fc.boolean(),
    subscribes: fc.boolean(),
    reactions: fc.array(reaction, { maxLength: 3 }),
    steps: fc.array(step, { maxLength: workers === 'shell' ? 25 : 15 }),
    end: program ? programEnd : end,
  });
}

/**
 * Plans of all kinds, as often as their cost allows: a few with Node workers, or with a process of
 * their own.
 */
export const anyPlan = fc.oneof(
  { weight: 30, arbitrary: plans({ workers: 'shell' }) },
  { weight: 8, arbitrary: plans({ workers: 'node' }) },
  { weight: 1, arbitrary: plans({ workers: 'shell', program: true }) },
  { weight: 1, arbitrary: plans({ workers: 'node', program: true }) },
);

/**
 * Lists every call of a plan, those of its reactions included.
 *
 * @param {Plan} plan
 * @returns {Call[]}
 */
export function callsOf({ steps, reactions }) {
  const calls = [...steps, ...reactions.flatMap((reaction) => reaction.calls)];
  return /** @type {Call[]} */ (calls.filter((step) => 'call' in step));
}

/**
 * Returns whether a worker of this plan may die with a task that is not the cause.
 *
 * @param {Plan} plan
 */
export function isViolent(plan) {
  const { concurrency = 1 } = plan.pool.options;
  return callsOf(plan).some(({ call: name, deed, signal }) => {
    if (name === 'kill') return signal !== 'SIGSTOP';
    return VIOLENT_DEEDS.includes(deed) || concurrency !== 1;
  });
}

/**
 * Returns how many starts of workers may fail in this plan because the plan kills them.
 *
 * @param {Plan} plan
 */
export function killsOf(plan) {
  return callsOf(plan).filter(({ call: name }) => name === 'kill').length;
}

/** @param {string} deed */
export function isEndless(deed) {
  return ENDLESS_DEEDS.includes(deed);
}

/**
 * Describes the plan in a few lines.
 *
 * @param {Plan} plan
 */
export function describe(plan) {
  const { pool, hearsErrors, hearsAll, subscribes, reactions, steps, end: ending } = plan;
  const flags = Object.entries({ hearsErrors, hearsAll, subscribes }).filter(([, value]) => value);
  const lines = [
    `pool of ${pool.kind} workers ${text(pool.options)} (${flags.map(([name]) => name).join(', ')})`,
  ];
  for (const { at, nth, calls } of reactions)
    lines.push(`in ${at} no. ${nth}: ${calls.map(callText).join('; ')}`);
  for (const [number, each] of steps.entries()) lines.push(`${number + 1}. ${callText(each)}`);
  lines.push(`end: ${callText({ call: ending.how, ...ending })}`);
  return lines.join('\n');
}

/** @param {any} step */
function callText({ call: name, pause: waits, how: _, ...rest }) {
  const what = name === undefined ? `wait for ${waits}` : name;
  return Object.keys(rest).length === 0 ? what : `${what} ${text(rest)}`;
}

/** @param {object} value JSON, without the quotes around keys */
function text(value) {
  return JSON.stringify(value)
    .replace(/"(\w+)":/g, '$1: ')
    .replaceAll(',', ', ');
}
