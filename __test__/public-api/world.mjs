// One run: the pool, all requests to it and all its answers, and the violations among them.

import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { inspect } from 'node:util';
import { Planned } from './bad-calls.mjs';
import { brief } from './brief.mjs';
import { perform } from './calls.mjs';
import { BREAKING_KINDS, CHANNELS, isViolent, killsOf, SHELL_KINDS } from './plan.mjs';
import { context, Task } from './tasks.mjs';

/** Failed starts that a pool outlives by default. */
const RESTART_LIMIT = 5;

/** Places whose errors come back to the caller, and are no uncaught exceptions. */
const QUIET_PLACES = ['getter', 'toJSON', 'source'];

/** Lines of the timeline that a failure shows. */
const TIMELINE = 400;

export class World {
  /** @type {any} */
  pool = null;
  /** @type {{ rule: string, what: string }[]} */
  violations = [];
  /** The timeline. @type {string[]} */
  timeline = [];
  /** All tasks of the run, by number. @type {Map<number, Task>} */
  tasks = new Map();
  /** Unsettled promises of the pool, with their labels. @type {Map<Promise<unknown>, string>} */
  pending = new Map();
  signals = Array.from({ length: 3 }, () => new AbortController());
  /** Reasons of cancellations. @type {Set<unknown>} */
  reasons = new Set();
  /** True if the plan has begun to close the pool. */
  closing = false;
  /** The first promise of `shutdown()` or `terminate()`. @type {Promise<unknown> | null} */
  closed = null;
  /** True if no more events may come from the pool. */
  isOver = false;
  /** Pids of workers that were stopped and not continued. @type {Set<number>} */
  stopped = new Set();
  /** @type {Map<number, object>} by pid */
  exits = new Map();
  /** @type {Set<number>} pids */
  onlines = new Set();
  brokenEvents = 0;
  /** The pool that was left to the garbage collector. @type {WeakRef<object> | null} */
  dropped = null;
  /**
   * Tasks of `bulkhead:task:start`, and their outcomes.
   *
   * @type {Map<object, string | undefined>}
   */
  published = new Map();
  /** Errors thrown on purpose, until they are uncaught exceptions. @type {Set<unknown>} */
  thrown = new Set();
  /** Such errors that the pool may also return to its caller. @type {Set<unknown>} */
  mayThrow = new Set();
  /** True if the last steps of the run have begun. */
  isEnding = false;
  /** Resolves when parked readers may go on. @type {Promise<void>} */
  released;
  /** @type {() => void} */
  release = () => {};
  #seen = new Set();
  #calls = new Map();
  /** @type {(() => void)[]} */
  #onEvent = [];
  #subscriptions = new Map();
  #start = performance.now();

  /**
   * @param {import('./plan.mjs').Plan} plan
   * @param {string} folder of the workers' ledger
   */
  constructor(plan, folder) {
    const { kind } = plan.pool;
    this.plan = plan;
    this.folder = folder;
    this.isShell = SHELL_KINDS.includes(kind);
    this.hasDeeds = kind !== 'built-in';
    this.violent = isViolent(plan);
    this.startsMayFail = BREAKING_KINDS.includes(kind) || killsOf(plan) > 0;
    this.mayBreak = BREAKING_KINDS.includes(kind) || killsOf(plan) > RESTART_LIMIT;
    this.endsOpen = ['dropped', 'leave', 'exit', 'throw', 'killed'].includes(plan.end.how);
    this.released = new Promise((resolve) => {
      this.release = resolve;
    });
    for (const { signal } of this.signals)
      signal.addEventListener('abort', () => this.react('abort'));
  }

  // ---- The record

  /** @param {string} text */
  note(text) {
    if (this.timeline.length < TIMELINE)
      this.timeline.push(`${(performance.now() - this.#start).toFixed(1)} ${text}`);
  }

  /**
   * @param {string} rule
   * @param {string} what
   */
  wrong(rule, what) {
    this.note(`WRONG ${rule}: ${what}`);
    this.violations.push({ rule, what });
  }

  /**
   * Records a promise that the pool has given, and has to settle.
   *
   * @template T
   * @param {string} label
   * @param {Promise<T>} promise
   * @param {(value: T) => void} onValue
   * @param {(error: any) => void} onError
   */
  track(label, promise, onValue, onError) {
    if (typeof promise?.then !== 'function')
      return this.wrong('promises', `${label} gave ${inspect(promise)}`);
    this.pending.set(promise, label);
    const settle = (how, tell) => (outcome) => {
      this.pending.delete(promise);
      this.note(`${label} ${how}: ${brief(outcome)}`);
      tell(outcome);
      this.#happened();
    };
    promise.then(settle('resolves', onValue), settle('rejects', onError));
  }

  /** Resolves at the next thing that happens. */
  event() {
    return new Promise((resolve) => this.#onEvent.push(() => resolve(undefined)));
  }

  #happened() {
    for (const tell of this.#onEvent.splice(0)) tell();
  }

  // ---- Tasks

  /** @param {import('./plan.mjs').Call} call */
  task(call) {
    const task = new Task(this, call, this.tasks.size + 1);
    this.tasks.set(task.u, task);
    return task;
  }

  /** @param {Task} task */
  accepted(task) {
    task.state = 'accepted';
    this.note(`${task.label} accepted`);
  }

  /**
   * @param {Task} task
   * @param {any} error
   */
  refused(task, error) {
    task.state = 'refused';
    this.note(`${task.label} refused: ${brief(error)}`);
    const wrong = task.wrongRefusal(error);
    if (wrong !== null)
      this.wrong('refusals', `${task.label}, refused with ${brief(error)}: ${wrong}`);
  }

  /**
   * @param {Task} task
   * @param {{ value?: unknown, error?: any }} outcome
   */
  settled(task, outcome) {
    if (task.outcome !== null)
      return this.wrong('once', `${task.label} has a second outcome: ${brief(outcome)}`);
    task.outcome = outcome;
    const wrong =
      'error' in outcome ? task.wrongError(outcome.error) : task.wrongValue(outcome.value);
    if (wrong !== null)
      this.wrong('outcomes', `${task.label}, ${brief(outcome.error ?? outcome.value)}: ${wrong}`);
  }

  /** True if all tasks that are known to be accepted have their outcome. */
  get isSettled() {
    return [...this.tasks.values()].every(
      ({ state, outcome }) => state !== 'accepted' || outcome !== null,
    );
  }

  /**
   * The task that an event is about, of those given to `distributeTask()`.
   *
   * @param {string | number} id
   * @param {unknown} value of its result
   * @param {any} error of its failure
   */
  #announced(id, value, error) {
    const all = [...this.tasks.values()].filter(
      (task) => task.call.call === 'distributeTask' && task.id === id,
    );
    if (error === undefined) {
      const { u } = /** @type {any} */ (Array.isArray(value) ? value[0] : value) ?? {};
      const own = all.find((task) => task.u === u);
      if (own !== undefined) return own;
    }
    const open = all.filter((task) => task.state === 'accepted' && task.outcome === null);
    const fits = (task) =>
      (error === undefined ? task.wrongValue(value) : task.wrongError(error)) === null;
    const fitting = open.filter(fits);
    // Several tasks of one id may end alike: the context of its caller identifies this one.
    const here = fitting.find((task) => task.u === context.getStore());
    return here ?? fitting[0] ?? open[0] ?? all[0];
  }

  // ---- Events

  /** @param {any} pool that was just made */
  listen(pool) {
    this.pool = pool;
    const { hearsErrors, hearsAll, subscribes } = this.plan;
    const on = (event, tell) => {
      pool.on(event, (...args) => {
        this.note(`event ${event} ${args.map(brief).join(' ')}`);
        if (this.isOver)
          this.wrong('after the end', `an event: ${event} ${args.map(brief).join(' ')}`);
        tell(...args);
        this.#happened();
        this.react(event);
      });
    };
    on('result', (envelope, info) => this.#onResult(envelope, info));
    if (hearsErrors) on('error', (error) => this.onError(error));
    on('exit', (exit) => this.#onExit(exit));
    on('online', ({ id, pid }) => this.#onOnline(id, pid));
    on('retry', ({ taskId, attempt, error }) => {
      if (!(error instanceof Error) || !(attempt > 1))
        this.wrong('events', `retry of ${taskId}: ${attempt}, ${error}`);
    });
    on('lost-key', ({ key, workerId }) => {
      if (!['a', 'b', 'c'].includes(key) || !(workerId > 0))
        this.wrong('events', `lost-key ${key} ${workerId}`);
    });
    on('drain', () => {
      if (this.plan.pool.options.maxQueue === undefined)
        this.wrong('events', 'drain, and no task was refused');
    });
    if (hearsAll) {
      on('message', (_, worker) => this.#onAlive('message', worker.pid));
      on('progress', (value, { taskId }) => this.onProgress(value, taskId));
      on('stdout', (_, worker) => this.#onAlive('stdout', worker.pid));
      on('stderr', (_, worker) => this.#onAlive('stderr', worker.pid));
    }
    if (subscribes) this.#subscribe();
  }

  #onResult({ taskId, result, processedBy }, info) {
    this.#onAlive('result', processedBy);
    if (!(info?.attempt >= 1 && info.workerId >= 1))
      this.wrong('events', `result with ${brief(info)}`);
    const task = this.#announced(taskId, result, undefined);
    if (task === undefined)
      return this.wrong('once', `a result of a task that is not known: ${brief(taskId)}`);
    this.#inContext(task, 'result');
    this.settled(task, { value: result });
  }

  /** @param {any} error of an event, or uncaught without a listener */
  onError(error) {
    if (error?.taskId !== undefined) {
      const task = this.#announced(error.taskId, undefined, error);
      if (task === undefined)
        return this.wrong('once', `an error of a task that is not known: ${brief(error)}`);
      if (this.plan.hearsErrors) this.#inContext(task, 'error');
      return this.settled(task, { error });
    }
    if (error?.code === 'ERR_POOL_BROKEN') {
      this.brokenEvents += 1;
      if (!this.mayBreak) this.wrong('pool errors', `the pool should not break: ${brief(error)}`);
      if (this.brokenEvents > 1)
        this.wrong('one PoolBrokenError', `no. ${this.brokenEvents}: ${brief(error)}`);
    } else if (error?.code !== 'ERR_PROTOCOL' || !this.violent) {
      this.wrong('pool errors', brief(error));
    }
  }

  #onExit(exit) {
    const { pid, code, signal } = exit;
    if (this.exits.has(pid))
      this.wrong('exit is the last event', `a second exit of ${pid}: ${brief(exit)}`);
    if (code === null && signal === null)
      this.wrong('events', `an exit without a code and a signal: ${brief(exit)}`);
    this.exits.set(pid, exit);
    this.stopped.delete(pid);
  }

  #onOnline(id, pid) {
    if (!(id >= 1)) this.wrong('events', `online ${id}`);
    this.#onAlive('online', pid);
    if (this.onlines.has(pid)) this.wrong('events', `online twice: ${pid}`);
    this.onlines.add(pid);
  }

  /** Checks that a worker from which an event comes has had no `exit` event. */
  #onAlive(what, pid) {
    if (this.exits.has(pid))
      this.wrong('exit is the last event', `${what} of ${pid} after its exit`);
    if (what !== 'online' && !this.onlines.has(pid) && !what.startsWith('std'))
      this.wrong('events', `${what} of ${pid}, which is not online`);
  }

  onProgress(value, taskId) {
    const task = this.tasks.get(value);
    if (task === undefined) return this.wrong('events', `progress of no task: ${brief(value)}`);
    if (task.id !== undefined && task.id !== taskId)
      this.wrong('events', `progress of ${value} as ${taskId}`);
  }

  #inContext(task, what) {
    const store = context.getStore();
    if (store !== task.u)
      this.wrong('async context', `${what} of ${task.label} in the context of ${store}`);
  }

  #subscribe() {
    for (const name of CHANNELS) {
      const tell = (message) => {
        if (message.pool !== this.pool) return;
        this.note(`${name} ${brief(message.taskId ?? message.workerId ?? '')}`);
        if (name === 'bulkhead:task:start') this.published.set(message, undefined);
        if (name === 'bulkhead:task:end') this.#publishedEnd(message);
        this.react(name);
      };
      this.#subscriptions.set(name, tell);
      subscribe(name, tell);
    }
  }

  #publishedEnd(message) {
    if (!this.published.has(message))
      this.wrong('diagnostics', `the end of a task without a start: ${brief(message.taskId)}`);
    if (this.published.get(message) !== undefined)
      this.wrong('diagnostics', `two ends of a task: ${brief(message.taskId)}`);
    this.published.set(message, message.outcome);
  }

  /** Releases all references to the pool. */
  forget() {
    this.dropped = new WeakRef(this.pool);
    this.pool.removeAllListeners();
    // The last output of a worker is read by a listener that has no reference to this run.
    if (this.plan.hearsErrors) this.pool.on('error', () => {});
    this.signals = [];
    this.tasks.clear();
    this.published.clear();
    this.closed = null;
  }

  unsubscribe() {
    for (const [name, tell] of this.#subscriptions) unsubscribe(name, tell);
    this.#subscriptions.clear();
  }

  // ---- User code

  /**
   * Makes the plan's calls for this place, in every listener, getter and source.
   *
   * @param {string} place
   */
  react(place) {
    const nth = (this.#calls.get(place) ?? 0) + 1;
    this.#calls.set(place, nth);
    for (const reaction of this.plan.reactions) {
      if (reaction.at !== place || reaction.nth !== nth) continue;
      for (const call of reaction.calls) {
        if (call.call === 'throw') this.#throw(place);
        else this.perform(call, ` in ${place}`);
      }
    }
  }

  /** @param {string} place */
  #throw(place) {
    const error = new Planned(`in ${place}`);
    if (!QUIET_PLACES.includes(place)) this.thrown.add(error);
    this.note(`throw in ${place}`);
    throw error;
  }

  /**
   * @param {import('./plan.mjs').Call} call
   * @param {string} [where]
   */
  perform(call, where = '') {
    if (this.pool === null) return;
    this.note(`${call.call}${where} ${brief({ ...call, call: undefined })}`);
    perform(this, call);
  }

  /** @param {unknown} error that was not caught */
  uncaught(error) {
    this.note(`uncaught ${brief(error)}`);
    if (error instanceof Planned) {
      if (this.#seen.has(error))
        return this.wrong('uncaught exceptions', `thrown once, seen twice: ${error.message}`);
      this.#seen.add(error);
      if (!this.thrown.delete(error) && !this.mayThrow.has(error))
        this.wrong('uncaught exceptions', `belongs to its caller: ${error.message}`);
    } else if (!this.plan.hearsErrors && /** @type {any} */ (error)?.taskId !== undefined) {
      this.onError(error);
    } else {
      this.wrong('uncaught exceptions', inspect(error, { depth: 1 }));
    }
    this.#happened();
  }
}
