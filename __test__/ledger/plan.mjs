// The meaning of a seed: the pool's options, every task, and all faults with their times.

import { FORMS, LARGEST } from './payload.mjs';
import { Random } from './random.mjs';

/** Tasks of a run. The numbers of faults are for this number, and grow and shrink with it. */
export const TASKS = 20_000;

/** Faults that tasks commit. */
const DEEDS = {
  kill: 4,
  segv: 2,
  exit0: 3,
  exit1: 3,
  half: 5,
  garbage: 4,
  close: 2,
  disconnect: 2,
  throw: 20,
  hang: 3,
};
/** More faults, for a worker that speaks the protocol by itself. */
const LIES = { ...DEEDS, foreign: 8, stale: 3, twice: 3 };
/** Faults from outside: signals to a worker, and faults of the parent. */
const STRIKES = { kill: 12, segv: 3, term: 4, pause: 12, exhaust: 4, block: 3 };
/**
 * Stops of the parent while a worker continues and dies. They are drawn last, so that seeds keep
 * the rest of their meaning.
 */
const FREEZES = { freeze: 10 };
/**
 * Changes by the user, which must do no harm either. They are drawn after all else, for the same
 * reason.
 */
const CHANGES = { reload: 4, resize: 8 };
/** Deaths of standbys. They are drawn last of all. */
const STANDBYS = { standby: 6 };
/** Faults that must do no harm. */
const PAUSES = { pause: 30, block: 3 };

/** Deeds after which a worker's frames are not believed, or cannot be sent. */
export const BREAKING_DEEDS = new Set([
  'half',
  'garbage',
  'close',
  'disconnect',
  'foreign',
  'stale',
  'twice',
]);
/** Deeds after which a worker is dead, or will be. */
export const DEADLY_DEEDS = new Set([...BREAKING_DEEDS, 'kill', 'segv', 'exit0', 'exit1']);
/** Strikes after which a worker is dead, or will be. */
export const DEADLY_STRIKES = new Set(['kill', 'segv', 'term', 'freeze']);

/** Fault points that do not keep the pool from starting. */
const PHASES = [
  ...['idle', 'read', 'before-claim', 'after-claim', 'task'],
  ...['write:1', 'write:half', 'write:last', 'result', 'stop'],
];

/**
 * @param {number} seed
 * @param {number} [tasks]
 */
export function planOf(seed, tasks = TASKS) {
  const random = new Random(seed);
  const scale = tasks / TASKS;
  const raw = random.chance(0.2);
  const maxWorkers = random.pick([1, 1, 2, 2, 3, 4]);
  const calm = random.chance(0.1);
  const plan = {
    seed,
    tasks,
    /** True if the worker speaks the protocol by itself, without bulkhead's runtime. */
    raw,
    noPidfd: random.chance(0.25),
    options: {
      maxWorkers,
      minWorkers: random.pick([maxWorkers, maxWorkers, 0]),
      concurrency: random.pick([1, 1, 4]),
      prefetch: random.pick(['auto', 'auto', 1, 8]),
      serialization: raw ? 'json' : random.pick(['json', 'advanced']),
      stdio: random.pick(['inherit', 'pipe', 'ignore']),
      gracePeriod: random.int(10, 200),
      retries: random.pick([0, 0, 0, 2]),
      retryDelay: random.int(1, 5),
      // The nemesis killed a worker that does not get ready: no reason for the pool to break.
      restart: { limit: 1_000_000, minDelay: 1, maxDelay: 20 },
    },
    /** Tasks that are unsettled at a time. */
    window: random.pick([50, 500, 5000]),
    /**
     * The way in which the pool is closed. All but `drain` close it before the last tasks have
     * settled.
     */
    close: random.weighted({ drain: 6, running: 2, terminate: 2 }),
    /** The longest pause of the main thread, and of a worker (ms). */
    block: Math.round(1000 * Math.min(1, scale)),
    pause: 300,
    strikes: [],
    faults: {},
  };
  plan.strikes = spread(random, calm ? PAUSES : STRIKES, scale, tasks).map(([at, what]) => ({
    at,
    what,
  }));
  if (!calm) plan.faults = Object.fromEntries(spread(random, raw ? LIES : DEEDS, scale, tasks));
  Object.assign(
    plan.options,
    random.pick([{}, {}, { maxTasksPerWorker: 1000 }, { maxWorkerAge: 2_000 }]),
  );
  if (!calm && !raw && random.chance(0.7)) plan.point = pointOf(random);
  // Long tasks among short ones keep a worker from answering several at a time.
  plan.brisk = random.chance(0.5);
  if (!calm) {
    plan.strikes.push(...spread(random, FREEZES, scale, tasks).map(([at, what]) => ({ at, what })));
  }
  /** Gives keys to some tasks, and a priority to some. */
  plan.ranked = random.chance(0.3);
  plan.changes = !calm && random.chance(0.5);
  if (plan.changes)
    plan.strikes.push(...spread(random, CHANGES, scale, tasks).map(([at, what]) => ({ at, what })));
  if (random.chance(0.4)) {
    plan.options.standby = random.pick([1, 1, 2]);
    if (!calm)
      plan.strikes.push(
        ...spread(random, STANDBYS, scale, tasks).map(([at, what]) => ({ at, what })),
      );
  }
  plan.strikes.sort((a, b) => a.at - b.at);
  return plan;
}

/**
 * The fault point at which each worker dies, sooner or later: see "Faults on purpose" in
 * CONTRIBUTING.md.
 */
function pointOf(random) {
  const phase = random.pick(PHASES);
  const how = random.pick(['SIGKILL', 'SIGSEGV', 'abort', 'exit-0', 'exit-1']);
  // Workers pass some points with each task, some with each batch, and one as the last thing they
  // do.
  const passings = { stop: 1, idle: random.int(50, 500), read: random.int(50, 500) };
  return { phase, how, nth: passings[phase] ?? random.int(500, 3000) };
}

/** Faults at random points of the run's progress, with the number of each kind. */
function spread(random, kinds, scale, tasks) {
  return Object.entries(kinds)
    .flatMap(([kind, count]) =>
      Array.from({ length: Math.max(1, Math.round(count * scale)) }, () => kind),
    )
    .map((kind) => [random.int(0, Math.floor(tasks * 0.95)), kind])
    .sort(([a], [b]) => a - b);
}

/**
 * The tasks of a plan, in the order in which they are submitted. They are made one by one: all at
 * once would be most of the memory of the run.
 */
export function* tasksOf(plan) {
  const random = new Random(plan.seed ^ 0x5eed);
  for (let id = 0; id < plan.tasks; id += 1) yield taskOf(plan, id, random);
}

function taskOf({ faults, options, pause, brisk, ranked }, id, random) {
  const deed = faults[id] ?? 'work';
  const tiny = brisk && !random.chance(0.002);
  const work =
    tiny || random.chance(0.85) ? 0 : random.chance(0.8) ? random.next() : random.next() * 5;
  const sizeOf = tiny ? tinySize : mixedSize;
  const task = {
    id,
    deed,
    /** The duration (ms), as computing or as waiting. */
    work,
    waits: random.chance(tiny ? 0.002 : 0.1),
    /** The attempts that do the deed; later ones work. */
    until: random.int(1, 3),
    payload: { form: random.pick(FORMS), size: sizeOf(random), offset: random.int(0, 4095) },
    answer: { form: random.pick(FORMS), size: sizeOf(random), offset: random.int(0, 4095) },
    type: random.pick(['one', 'other', undefined]),
    promised: random.chance(0.2),
    key: ranked && id % 3 === 0 ? `key ${id % 11}` : undefined,
    priority: ranked && id % 5 === 0 ? (id % 4) - 1 : 0,
    retries: random.chance(0.02) && options.retries > 0 ? random.int(0, 4) : options.retries,
    timeout: 0,
    /** The number of further settled tasks after which this one is cancelled. */
    cancel: undefined,
  };
  if (deed === 'hang') task.timeout = random.int(5, 100);
  else if (random.chance(0.01)) {
    task.timeout = random.int(1, 6);
    task.work = random.next() * 8;
  }
  if (random.chance(0.01))
    task.cancel = { after: random.skewed(200), by: random.pick(['id', 'signal']) };
  // A task that hangs must not outlast the test where its time limit does not end it.
  task.hangs = pause * 1000;
  return task;
}

function tinySize(random) {
  return random.skewed(512);
}

function mixedSize(random) {
  if (random.chance(0.95)) return random.skewed(8 * 1024);
  return random.chance(0.95) ? random.int(8 * 1024, 100 * 1024) : random.int(100 * 1024, LARGEST);
}

/** The plan as one line of text. */
export function describe({
  seed,
  tasks,
  raw,
  noPidfd,
  options,
  window,
  close,
  point,
  brisk,
  ranked,
  changes,
}) {
  const { minWorkers, maxWorkers, concurrency, prefetch, serialization, stdio, retries } = options;
  const { maxTasksPerWorker: most, maxWorkerAge: age } = options;
  const kind = raw ? 'raw workers' : 'workers';
  const words = [
    `seed ${seed}: ${tasks} ${brisk ? 'tiny' : 'mixed'} tasks, ${minWorkers}..${maxWorkers} ${kind}, concurrency ${concurrency}`,
    `prefetch ${prefetch}, ${serialization}, stdio ${stdio}, retries ${retries}, window ${window}, closed by ${close}`,
  ];
  if (most !== undefined) words.push(`replaced after ${most} tasks`);
  if (age !== undefined) words.push(`replaced after ${age} ms`);
  if (point !== undefined) words.push(`${point.how} at ${point.phase} ${point.nth}`);
  if (ranked) words.push('keys and priorities');
  if (options.standby !== undefined) words.push(`${options.standby} standby`);
  if (changes) words.push('reloaded and resized');
  if (noPidfd) words.push('no pidfd');
  return words.join(', ');
}
