'use strict';

// Checks the options of one task.

const { invalidType, invalidValue } = require('./argument-errors');
const { moduleUrl } = require('./module-url');
const { traceparent } = require('./traceparent');
const {
  MAX_RETRIES,
  delayOrNever,
  integer,
  listener,
  number,
  ownOptions,
  text,
  zeroIfInfinite,
} = require('./validators');

/** @typedef {import('./worker-command').WorkerKind} WorkerKind */

const TASK_OPTIONS = Object.freeze([
  'priority',
  'key',
  'timeout',
  'signal',
  'retries',
  'handler',
  'filename',
  'onProgress',
  'trace',
]);
/** In place of a timeout or number of retries: the pool's own. */
const DEFAULT = -1;
const MAX_PRIORITY = 1_000_000;
/** The default of Node.js's own object streams. */
const HIGH_WATER_MARK = 16;
const MAX_HIGH_WATER_MARK = 65_536;
const SIGNAL =
  'an AbortSignal, which has "aborted", "addEventListener()" and "removeEventListener()"';

/**
 * @typedef {object} TaskOptions
 * @property {number} priority
 * @property {string | null} key
 * @property {number} timeout ms; -1: the pool's
 * @property {number} retries -1: the pool's
 * @property {AbortSignal | null} signal
 * @property {string | null} handler
 * @property {string | null} filename file URL
 * @property {((value: any, about: any) => void) | null} onProgress
 * @property {string | null} trace W3C traceparent
 */

/** @type {Readonly<TaskOptions>} */
const NO_OPTIONS = Object.freeze({
  priority: 0,
  key: null,
  timeout: DEFAULT,
  retries: DEFAULT,
  signal: null,
  handler: null,
  filename: null,
  onProgress: null,
  trace: null,
});

/**
 * @param {unknown} options as the user gave them
 * @param {WorkerKind} kind
 * @returns {Readonly<TaskOptions>}
 */
function resolveTaskOptions(options, kind) {
  if (options === undefined) return NO_OPTIONS;
  const own = ownOptions('options', options, TASK_OPTIONS);
  return {
    priority:
      own.priority === undefined
        ? 0
        : number('options.priority', own.priority, -MAX_PRIORITY, MAX_PRIORITY),
    key: own.key === undefined ? null : text('options.key', own.key),
    timeout:
      own.timeout === undefined
        ? DEFAULT
        : zeroIfInfinite(delayOrNever('options.timeout', own.timeout)),
    retries:
      own.retries === undefined ? DEFAULT : integer('options.retries', own.retries, 0, MAX_RETRIES),
    signal: own.signal === undefined ? null : abortSignal(own.signal),
    handler: own.handler === undefined ? null : text('options.handler', own.handler),
    filename: own.filename === undefined ? null : filename(own.filename, kind),
    onProgress:
      own.onProgress === undefined ? null : listener('options.onProgress', own.onProgress),
    trace: own.trace === undefined ? null : traceparent('options.trace', own.trace),
  };
}

/**
 * Resolves the options of a stream. A stream has no retries: the reader may have taken its first
 * values.
 *
 * @param {unknown} options as the user gave them
 * @param {WorkerKind} kind
 * @returns {Readonly<TaskOptions & { highWaterMark: number }>}
 */
function resolveStreamOptions(options, kind) {
  const known = TASK_OPTIONS.filter((name) => name !== 'retries');
  const { highWaterMark = HIGH_WATER_MARK, ...rest } = ownOptions('options', options, [
    ...known,
    'highWaterMark',
  ]);
  integer('options.highWaterMark', highWaterMark, 1, MAX_HIGH_WATER_MARK);
  return { ...resolveTaskOptions(rest, kind), retries: 0, highWaterMark: Number(highWaterMark) };
}

/**
 * @param {unknown} options of `createProxy()`, as the user gave them
 * @param {WorkerKind} kind
 * @returns {Readonly<TaskOptions>} for each call, which adds the name of the function as `handler`
 */
function resolveProxyOptions(options, kind) {
  const resolved = resolveTaskOptions(options, kind);
  const { handler } = resolved;
  if (handler !== null)
    throw invalidValue(
      'options.handler',
      handler,
      'is for single tasks: a proxy has a function for each handler',
    );
  return resolved;
}

/**
 * Checks the form and not the class, as Node.js does: test environments have their own AbortSignal
 * class.
 *
 * @param {any} signal
 * @returns {AbortSignal}
 */
function abortSignal(signal) {
  const valid =
    typeof signal === 'object' &&
    signal !== null &&
    'aborted' in signal &&
    typeof signal.addEventListener === 'function' &&
    typeof signal.removeEventListener === 'function';
  if (!valid) throw invalidType('options.signal', SIGNAL, signal);
  return signal;
}

/**
 * @param {unknown} value
 * @param {WorkerKind} kind
 */
function filename(value, kind) {
  if (kind !== 'built-in') {
    throw invalidValue(
      'options.filename',
      value,
      'is for the built-in worker only: the pool has the option worker',
    );
  }
  return moduleUrl('options.filename', value);
}

module.exports = {
  DEFAULT,
  NO_OPTIONS,
  TASK_OPTIONS,
  resolveProxyOptions,
  resolveStreamOptions,
  resolveTaskOptions,
};
