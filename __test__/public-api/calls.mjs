// The calls of a plan. Each is made at once, from wherever it is called, and the world judges its
// outcome.

import { childrenOf, processState } from '../support/proc.mjs';
import { BAD_CALLS, Planned } from './bad-calls.mjs';
import { brief } from './brief.mjs';
import { read } from './readers.mjs';
import { context } from './tasks.mjs';

/** Symbol.asyncDispose, which Node has from 20.5 on. */
const asyncDispose = Symbol.asyncDispose ?? Symbol.for('nodejs.asyncDispose');

const TRACEPARENT = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';

/** Time after which a signal of the kind `soon` is aborted (ms). */
const SOON = 3;

/**
 * @typedef {import('./world.mjs').World} World
 * @typedef {import('./plan.mjs').Call} Call
 */

/**
 * Makes a call. An error that the pool throws by mistake is a violation; one that user code throws
 * on purpose is passed on by none.
 *
 * @param {World} world
 * @param {Call} call
 */
export function perform(world, call) {
  try {
    CALLS[call.call](world, call);
  } catch (error) {
    world.wrong('calls', `${call.call} throws ${brief(error)}`);
  }
}

/** @type {Record<string, (world: World, call: Call) => void>} */
const CALLS = {
  distributeTask(world, call) {
    const task = world.task(call);
    let id;
    try {
      id = context.run(task.u, () => world.pool.distributeTask(task.value, optionsOf(world, task)));
    } catch (error) {
      return world.refused(task, error);
    }
    const isWrong = task.id === undefined ? typeof id !== 'number' : id !== task.id;
    if (isWrong)
      world.wrong('calls', `${task.label} got the id ${brief(id)} instead of ${brief(task.id)}`);
    task.id = id;
    world.accepted(task);
  },

  run(world, call) {
    const task = world.task(call);
    promised(world, task, world.pool.run(task.value, optionsOf(world, task)));
  },

  exec(world, call) {
    const task = world.task(call);
    const args = [world.folder, task.u, call.n];
    promised(
      world,
      task,
      world.pool.exec(executed, args, { ...optionsOf(world, task), handler: undefined }),
    );
  },

  proxy(world, call) {
    const task = world.task(call);
    const { name, n } = call;
    const options = { ...optionsOf(world, task), handler: undefined };
    let proxy;
    try {
      proxy =
        Object.keys(call.options).length === 0 ? world.pool.proxy : world.pool.createProxy(options);
    } catch (error) {
      // Wrong options throw where they are given, and no task is accepted.
      return world.refused(task, error);
    }
    promised(world, task, proxy[name](task.u, n));
  },

  map(world, call) {
    const tasks = Array.from({ length: call.count }, () => world.task(call));
    const about = tasks[0] ?? world.task({ ...call, deed: 'ok' });
    const { ordered, highWaterMark, reader } = call;
    const source = SOURCES[call.source](world, tasks);
    const iterator = world.pool.map(source, { ...optionsOf(world, about), ordered, highWaterMark });
    const label = `map of no. ${tasks.map(({ u }) => u).join(', ')}`;
    const isEndless = call.source === 'stalls';
    const reading = read(world, iterator, { label, reader, isEndless });
    world.track(
      label,
      reading,
      (outcome) => mapped(world, { call, tasks, about, label }, outcome),
      unexpected(world, label),
    );
  },

  stream(world, call) {
    const task = world.task(call);
    const { highWaterMark, reader } = call;
    const { retries: _, ...options } = optionsOf(world, task) ?? {};
    const iterator = world.pool.stream(task.value, { ...options, highWaterMark });
    const { label } = task;
    const reading = read(world, iterator, { label, reader, isEndless: false });
    world.track(
      label,
      reading,
      (outcome) => streamed(world, task, outcome),
      unexpected(world, label),
    );
  },

  bad(world, { number }) {
    const { what, act, code, throws = false, serialization } = BAD_CALLS[number];
    if (
      serialization !== undefined &&
      serialization !== (world.plan.pool.options.serialization ?? 'json')
    )
      return;
    const call = { call: 'bad', deed: 'ok', options: {}, id: 'own', trap: 'none', n: 0, until: 9 };
    const make = () => {
      const task = world.task(call);
      task.state = 'refused';
      return task.value;
    };
    const judge = (error) => {
      const codes = [code];
      // A closed pool may say so first.
      if (world.closing) codes.push('ERR_POOL_CLOSED');
      if (world.mayBreak) codes.push('ERR_POOL_BROKEN');
      if (world.isShell && what.startsWith('exec')) codes.push('ERR_INVALID_ARG_VALUE');
      const is = error instanceof Planned ? 'Planned' : error?.code;
      if (!codes.includes(is))
        world.wrong('bad calls', `${what} gives ${brief(error)}, not ${codes.join(' or ')}`);
    };
    let promise;
    try {
      promise = act(world.pool, make);
    } catch (error) {
      if (!throws) world.wrong('bad calls', `${what} throws`);
      return judge(error);
    }
    if (throws) return world.wrong('bad calls', `${what} is not refused`);
    world.track(
      what,
      promise,
      (value) => world.wrong('bad calls', `${what} gives ${brief(value)}`),
      judge,
    );
  },

  ready(world) {
    world.track(
      'ready()',
      world.pool.ready(),
      nothing(world, 'ready()'),
      refusal(world, 'ready()'),
    );
  },

  startWorkers(world, { ignored = false }) {
    const promise = world.pool.startWorkers();
    // An ignored promise must be no unhandled rejection.
    if (!ignored)
      world.track(
        'startWorkers()',
        promise,
        nothing(world, 'startWorkers()'),
        refusal(world, 'startWorkers()'),
      );
  },

  resize(world, { size }) {
    const label = `resize(${JSON.stringify(size)})`;
    world.track(label, world.pool.resize(size), nothing(world, label), refusal(world, label));
  },

  reload(world) {
    const allowed = (error) => error?.code === 'ERR_WORKER_START' && world.startsMayFail;
    world.track(
      'reload()',
      world.pool.reload(),
      nothing(world, 'reload()'),
      refusal(world, 'reload()', allowed),
    );
  },

  stats(world) {
    const { tasks, queue, workers, standby } = world.pool.stats();
    const { accepted, completed, failed, cancelled } = tasks;
    if (completed + failed + cancelled > accepted)
      world.wrong('stats', `more ends than tasks: ${brief(tasks)}`);
    if (!(queue.tasks >= 0 && queue.bytes >= 0)) world.wrong('stats', brief(queue));
    if (!(standby >= 0 && standby <= 2)) world.wrong('stats', `${standby} standbys`);
    for (const { id, pid, state } of workers) {
      if (!(id >= 1)) world.wrong('stats', `a worker with the id ${id}`);
      if (pid !== null && world.exits.has(pid))
        world.wrong('stats', `worker ${id} (${state}) has had its exit`);
    }
  },

  ref(world) {
    if (world.pool.ref() !== world.pool) world.wrong('calls', 'ref() does not give the pool');
  },

  unref(world) {
    if (world.pool.unref() !== world.pool) world.wrong('calls', 'unref() does not give the pool');
  },

  send(world, { worker, message }) {
    tell(world, 'send()', 'boolean', () => world.pool.send(worker + 1, messageOf(world, message)));
  },

  broadcast(world, { message }) {
    tell(world, 'broadcast()', 'number', () => world.pool.broadcast(messageOf(world, message)));
  },

  listen({ pool }, { event }) {
    if (pool.listeners(event).includes(idle)) pool.off(event, idle);
    else pool.on(event, idle);
  },

  cancel(world, { which }) {
    const open = [...world.tasks.values()].filter(({ state, outcome, id }) => {
      return state === 'accepted' && outcome === null && id !== undefined;
    });
    const task = which === 'first' ? open[0] : open.at(-1);
    const id = ['shared', 'unknown'].includes(which) ? which : (task?.id ?? 'unknown');
    const reason = { cancelled: id };
    world.reasons.add(reason);
    for (const each of world.tasks.values()) if (each.id === id) each.cancelled = true;
    const found = world.pool.cancel(id, reason);
    if (typeof found !== 'boolean') world.wrong('calls', `cancel() gives ${brief(found)}`);
    if (found && id === 'unknown')
      world.wrong('calls', 'cancel() knows a task that was never given');
  },

  abort(world, { signal }) {
    const reason = { aborted: signal };
    if (!world.signals[signal].signal.aborted) world.reasons.add(reason);
    world.signals[signal].abort(reason);
  },

  kill(world, { signal, worker }) {
    // Nothing ends a worker that is stopped while the pool waits for its task.
    if (signal === 'SIGSTOP' && world.isEnding) return;
    const pids = world.pool.workers.flatMap(({ pid }) => (pid === null ? [] : [pid]));
    const pid = pids[worker % pids.length];
    // Never a pid that is not, or no longer, a child.
    if (pid === undefined || !childrenOf().includes(pid)) return;
    world.note(`${signal} to ${pid}`);
    send(pid, signal);
    if (signal === 'SIGSTOP') world.stopped.add(pid);
  },

  continue(world) {
    continueAll(world);
  },

  shutdown(world, { timeout, drain }) {
    world.closing = true;
    const options = timeout === undefined && drain === undefined ? undefined : { timeout, drain };
    closes(world, 'shutdown()', world.pool.shutdown(options));
  },

  terminate(world) {
    world.closing = true;
    closes(world, 'terminate()', world.pool.terminate());
  },

  dispose(world) {
    world.closing = true;
    const label = 'asyncDispose()';
    world.track(label, world.pool[asyncDispose](), nothing(world, label), unexpected(world, label));
  },
};

/** A listener that does nothing, for the pool to have one. */
function idle() {}

/** Continues every stopped worker. */
export function continueAll(world) {
  for (const pid of world.stopped) {
    if (processState(pid) !== null && childrenOf().includes(pid)) send(pid, 'SIGCONT');
  }
  world.stopped.clear();
}

function send(pid, signal) {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if (/** @type {any} */ (error).code !== 'ESRCH') throw error;
  }
}

/** A function that runs in a Node worker, by its text. */
async function executed(folder, u, n) {
  const { appendFileSync } = await import('node:fs');
  appendFileSync(`${folder}/${process.pid}`, `start ${u} 0\n`);
  return { u, v: n * 2 };
}

/**
 * @param {World} world
 * @param {import('./tasks.mjs').Task} task
 */
function optionsOf(world, task) {
  const { options } = task.call;
  if (Object.keys(options).length === 0 && task.timeout === 0) return undefined;
  const { signal, onProgress, trace, ...rest } = options;
  return {
    ...rest,
    timeout: task.timeout || options.timeout,
    ...(signal === undefined ? {} : { signal: signalOf(world, signal) }),
    ...(trace ? { trace: TRACEPARENT } : {}),
    ...(onProgress ? { onProgress: progressOf(world) } : {}),
  };
}

function progressOf(world) {
  return (value, { taskId }) => {
    world.onProgress(value, taskId);
    world.react('onProgress');
  };
}

/** @param {string} which */
function signalOf(world, which) {
  switch (which) {
    case 'aborted': {
      const reason = { aborted: 'before' };
      world.reasons.add(reason);
      return AbortSignal.abort(reason);
    }
    case 'soon':
      return AbortSignal.timeout(SOON);
    case 'deaf':
      return { aborted: false, addEventListener: idle };
    case 'stubborn':
      return {
        aborted: false,
        addEventListener: idle,
        removeEventListener: () => raise(world, 'removeEventListener'),
      };
    case 'refusing':
      return {
        aborted: false,
        addEventListener: () => raise(world, 'addEventListener'),
        removeEventListener: idle,
      };
    default:
      return world.signals[which].signal;
  }
}

/** Throws out of a signal, which may come back to the caller or be an uncaught exception. */
function raise(world, where) {
  const error = new Planned(`in ${where}`);
  world.mayThrow.add(error);
  throw error;
}

/** @param {string} kind */
function messageOf(world, kind) {
  // A shell reads lines, and no raw bytes between them.
  return kind === 'bytes' && !world.isShell
    ? { bytes: Buffer.alloc(64, 1) }
    : { text: 'to a worker' };
}

function tell(world, label, type, act) {
  let answer;
  try {
    answer = act();
  } catch (error) {
    return refusal(world, label)(error);
  }
  if (typeof answer !== type) world.wrong('calls', `${label} gives ${brief(answer)}`);
}

/** Handles the promise of a single task. */
function promised(world, task, promise) {
  world.track(
    task.label,
    promise,
    (value) => {
      world.accepted(task);
      world.settled(task, { value });
    },
    (error) => {
      if (error?.taskId === undefined && task.wrongRefusal(error) === null)
        return world.refused(task, error);
      world.accepted(task);
      world.settled(task, { error });
    },
  );
}

function closes(world, label, promise) {
  world.closed ??= promise;
  if (promise !== world.closed)
    world.wrong('calls', `${label} gives another promise than the first time`);
  const judge = (report) => {
    const { completed, rejected, killed } = report ?? {};
    const isReport = [completed, rejected, killed].every(
      (count) => Number.isInteger(count) && count >= 0,
    );
    if (!isReport) world.wrong('calls', `${label} reports ${brief(report)}`);
  };
  world.track(label, promise, judge, unexpected(world, label));
}

const nothing = (world, label) => (value) => {
  if (value !== undefined) world.wrong('promises', `${label} resolves with ${brief(value)}`);
};

const unexpected = (world, label) => (error) =>
  world.wrong('promises', `${label} rejects with ${brief(error)}`);

/** Handles a call that a closed or broken pool may refuse. */
const refusal =
  (world, label, allowed = () => false) =>
  (error) => {
    if (error?.code === 'ERR_POOL_CLOSED' && world.closing) return;
    if (error?.code === 'ERR_POOL_BROKEN' && world.mayBreak) return;
    if (!allowed(error)) world.wrong('promises', `${label} rejects with ${brief(error)}`);
  };

/** Sources of `map()`. @type {Record<string, (world: World, tasks: import('./tasks.mjs').Task[]) => any>} */
const SOURCES = {
  array: (_, tasks) => tasks.map((task) => task.value),
  *generator(world, tasks) {
    for (const task of tasks) {
      world.react('source');
      yield task.value;
    }
  },
  async *async(world, tasks) {
    for (const task of tasks) {
      world.react('source');
      if (task.u % 2 === 0) await null;
      yield task.value;
    }
  },
  promises: (_, tasks) => tasks.map(async (task) => task.value),
  *throws(world, tasks) {
    yield* SOURCES.generator(world, tasks);
    throw new Planned('by the source');
  },
  async *stalls(world, tasks) {
    yield* SOURCES.generator(world, tasks);
    await new Promise(() => {});
  },
};

/** Judges what a reader of a mapping got. */
function mapped(world, { call, tasks, about, label }, { values, error, isComplete }) {
  const wrong = (what) => world.wrong('map', `${label}: ${what}`);
  const numbers = tasks.map(({ u }) => u);
  const got = [];
  for (const [index, value] of values.entries()) {
    // A result without a number is identified by its place.
    const u =
      /** @type {any} */ (Array.isArray(value) ? value[0] : value)?.u ??
      (call.ordered ? numbers[index] : undefined);
    if (u === undefined) continue;
    const task = world.tasks.get(u);
    if (task === undefined || !numbers.includes(u) || got.includes(u))
      wrong(`a result of no. ${u}, ${brief(value)}`);
    else if (task.wrongValue(value) !== null) wrong(`no. ${u}: ${task.wrongValue(value)}`);
    got.push(u);
    if (call.ordered && u !== numbers[index]) wrong(`no. ${u} comes in place of ${numbers[index]}`);
  }
  if (isComplete && error === undefined && values.length !== tasks.length)
    wrong(`${values.length} results`);
  if (isComplete && error === undefined && ['throws', 'stalls'].includes(call.source))
    wrong('it has an end');
  if (error === undefined) return;
  if (error instanceof Planned) return;
  const causes = tasks.length === 0 ? [about] : tasks;
  const problems = causes.map((task) => {
    if (error.code === 'ABORT_ERR') return task.wrongAbort(error);
    return error.taskId === undefined ? task.wrongRefusal(error) : task.wrongError(error);
  });
  if (!problems.includes(null)) wrong(`${brief(error)}: ${problems[0]}`);
}

/** Judges what a reader of a stream got. */
function streamed(world, task, { values, error, isComplete }) {
  const { deed, n } = task.call;
  const isRefused =
    error !== undefined && error.taskId === undefined && task.wrongRefusal(error) === null;
  if (isRefused) return world.refused(task, error);
  world.accepted(task);
  task.outcome = { value: undefined };
  if (deed === 'values' && world.plan.pool.kind === 'node') {
    const isPrefix = values.every((value, index) => value.u === task.u && value.i === index);
    if (!isPrefix) world.wrong('stream', `${task.label}: ${brief(values)}`);
    if (isComplete && error === undefined && values.length !== n)
      world.wrong('stream', `${task.label}: ${values.length} values`);
  } else {
    if (values.length > 1) world.wrong('stream', `${task.label}: ${brief(values)}`);
    const wrong = values.length === 1 ? task.wrongValue(values[0]) : null;
    if (wrong !== null) world.wrong('stream', `${task.label}: ${wrong}`);
  }
  const wrong = error === undefined ? null : task.wrongError(error);
  if (wrong !== null) world.wrong('stream', `${task.label}, ${brief(error)}: ${wrong}`);
}
