// One task of a run: what it was given for, its outcome, and which outcomes the documentation
// allows.

import { AsyncLocalStorage } from 'node:async_hooks';
import { isDeepStrictEqual } from 'node:util';
import { isEndless } from './plan.mjs';

/** The number of the task whose caller's context this is. */
export const context = new AsyncLocalStorage();

/** The time limit (ms) of a task without an end, unless it has one of its own. */
const LIMIT = 30;

/** The largest result of handlers where the pool has a limit. */
const HUGE = 10_000;

export class Task {
  /** @type {string | number | undefined} not known of one that was assigned an id by `run()` */
  id;
  /** @type {'new' | 'accepted' | 'refused'} */
  state = 'new';
  /** @type {{ value?: unknown, error?: any } | null} */
  outcome = null;
  /** True if the plan has cancelled the task by its id. */
  cancelled = false;

  /**
   * @param {import('./world.mjs').World} world
   * @param {import('./plan.mjs').Call} call
   * @param {number} u the number of the task in this run
   */
  constructor(world, call, u) {
    const { options } = world.plan.pool;
    this.world = world;
    this.call = call;
    this.u = u;
    this.label = `${call.call} no. ${u}`;
    const limit = call.options.timeout ?? options.taskTimeout ?? 0;
    this.timeout = limit === 0 && isEndless(call.deed) ? LIMIT : limit;
    this.retries = call.call === 'stream' ? 0 : (call.options.retries ?? options.retries ?? 0);
    const { id } = call;
    if (['exec', 'proxy'].includes(call.call) || id === 'none') this.id = undefined;
    else
      this.id = { own: `task ${u}`, shared: 'shared', number: 1_000_000 + u }[
        /** @type {string} */ (id)
      ];
  }

  /** The task as the pool is given it. */
  get value() {
    const { world, u } = this;
    const { n, deed, until, trap } = this.call;
    const data = { u, n, deed, until };
    if (trap === 'getter') {
      Object.defineProperty(data, 'extra', {
        enumerable: true,
        get: () => {
          world.react('getter');
          return 1;
        },
      });
    } else if (trap === 'toJSON') {
      Object.assign(data, {
        toJSON() {
          world.react('toJSON');
          return { u, n, deed, until };
        },
      });
    }
    return this.id === undefined ? { data } : { id: this.id, data };
  }

  /** Returns what is wrong with a result, or null. */
  wrongValue(value) {
    const { call, u } = this;
    const { deed, n, until } = call;
    const isPerformed = this.world.hasDeeds && !['exec', 'proxy'].includes(call.call);
    const isEndlessHere = isEndless(deed) && until > this.retries;
    if (isPerformed && (deed === 'throw' || isEndlessHere))
      return `the deed "${deed}" has a result`;
    const expected = this.#expected({ deed, u, n });
    return isDeepStrictEqual(value, expected)
      ? null
      : `${JSON.stringify(value)} instead of ${JSON.stringify(expected)}`;
  }

  #expected({ deed, u, n }) {
    const { kind } = this.world.plan.pool;
    const answer = { u, v: n * 2 };
    if (this.call.call === 'exec' || this.call.call === 'proxy') return answer;
    if (kind === 'built-in') {
      const data = { u, n, deed, until: this.call.until };
      return this.call.trap === 'getter' ? { ...data, extra: 1 } : data;
    }
    if (deed === 'huge') return { ...answer, text: '0'.repeat(HUGE) };
    if (kind !== 'node') return answer;
    if (deed === 'nothing') return undefined;
    if (deed === 'values') return Array.from({ length: n }, (_, i) => ({ u, i }));
    return answer;
  }

  /** Returns what is wrong with the error that the pool ended the task with, or null. */
  wrongError(error) {
    const { world, call } = this;
    const { deed } = call;
    if (!(error instanceof Error)) return `${error} is no error`;
    if (error.taskId === undefined) return 'an accepted task ends with an error that has no taskId';
    if (this.id !== undefined && error.taskId !== this.id) return `its taskId is ${error.taskId}`;
    const { options } = world.plan.pool;
    switch (error.code) {
      case 'ERR_WORKER_CRASHED':
        if (error.maybeExecuted !== true) return 'maybeExecuted is not true';
        return world.violent ? null : 'no worker dies in this run';
      case 'ERR_POOL_CLOSED':
        if (typeof error.maybeExecuted !== 'boolean') return 'maybeExecuted is missing';
        return world.closing ? null : 'the pool is not closed';
      case 'ERR_POOL_BROKEN':
        if (typeof error.maybeExecuted !== 'boolean') return 'maybeExecuted is missing';
        return world.mayBreak ? null : 'the pool should not break';
      case 'ERR_TASK_TIMEOUT':
        return error.timeout === this.timeout
          ? null
          : `its timeout is ${error.timeout}, not ${this.timeout}`;
      case 'ABORT_ERR':
        return this.wrongAbort(error);
      case 'ERR_PROTOCOL':
        if (error.maybeExecuted !== true) return 'maybeExecuted is not true';
        return world.violent ? null : 'no worker breaks the protocol in this run';
      case 'ERR_SERIALIZATION':
        return deed === 'bigint' ? null : 'its result can be sent';
      case 'ERR_MESSAGE_TOO_LARGE':
        return deed === 'huge' && options.maxMessageSize !== undefined
          ? null
          : 'its result is not too large';
      case 'E_PLANNED':
        if (!(error instanceof RangeError)) return 'what the handler threw has lost its class';
        return deed === 'throw' && error.u === this.u ? null : 'another task has thrown this';
      default:
        return this.#wrongOther(error);
    }
  }

  /** Errors of the worker's own runtime. */
  #wrongOther(error) {
    const { call } = this;
    if (call.call === 'proxy' && call.name === 'missing')
      return error instanceof TypeError ? null : 'no TypeError';
    if (call.call === 'stream' && /must return an iterable/.test(error.message))
      return call.deed === 'values' && this.world.hasDeeds ? 'its handler gives values' : null;
    if (call.options.handler === 'no-such-handler' && /no-such-handler/.test(error.message))
      return null;
    if (call.options.handler === 'default' && this.world.plan.pool.kind === 'built-in') return null;
    return 'no documented error';
  }

  /** Returns what is wrong with an AbortError, or null. */
  wrongAbort(error) {
    const { world } = this;
    const { signal } = this.call.options;
    const aborted =
      this.cancelled ||
      ['aborted', 'soon'].includes(signal) ||
      world.signals[signal]?.signal.aborted;
    if (!aborted) return 'it was not cancelled';
    const known = world.reasons.has(error.cause) || error.cause?.name === 'TimeoutError';
    return known ? null : `its cause, ${error.cause}, is no reason that was given`;
  }

  /** Returns what is wrong with the error that the pool refused the task with, or null. */
  wrongRefusal(error) {
    const { world, call } = this;
    const { pool } = world.plan;
    if (!(error instanceof Error)) return `${error} is no error`;
    if (error.taskId !== undefined) return 'the error of a task that was not accepted has a taskId';
    switch (error.code) {
      case 'ERR_POOL_CLOSED':
        return world.closing ? null : 'the pool is not closed';
      case 'ERR_POOL_BROKEN':
        return world.mayBreak ? null : 'the pool should not break';
      case 'ERR_QUEUE_FULL':
        return pool.options.maxQueue === undefined ? 'the queue cannot be full' : null;
      case 'ABORT_ERR':
        return this.wrongAbort(error);
      case 'ERR_SERIALIZATION':
        return call.trap === 'none' ? 'the task can be sent' : null;
      case 'ERR_INVALID_ARG_TYPE':
        return ['deaf', 'refusing', 'stubborn'].includes(call.options.signal)
          ? null
          : 'nothing is wrong with its arguments';
      case 'ERR_INVALID_ARG_VALUE':
        return this.#isCallable() ? 'nothing is wrong with its arguments' : null;
      default:
        return error.name === 'Planned' ? null : 'no documented error';
    }
  }

  /** Returns whether its kind of call suits the pool's kind of workers. */
  #isCallable() {
    const { isShell, plan } = this.world;
    if (this.call.call === 'exec') return !isShell;
    if (this.call.call === 'proxy') return !isShell && plan.pool.kind !== 'built-in';
    return true;
  }
}
