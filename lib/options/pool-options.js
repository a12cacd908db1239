'use strict';

// Checks the options of a pool and of its methods, and fills in every default.

const { invalidType, outOfRange } = require('./argument-errors');
const {
  MAX_DELAY,
  MAX_RETRIES,
  bytes,
  delay,
  delayOrNever,
  flag,
  integer,
  oneOf,
  ownOptions,
  text,
  zeroIfInfinite,
} = require('./validators');
const { resolveCommand } = require('./worker-command');

/**
 * No machine gains from more workers, and a typo such as `maxWorkers: 1e9` must not start a billion
 * processes.
 */
const MAX_WORKERS = 1024;
/** A worker with more tasks would only queue them. */
const MAX_CONCURRENCY = 1024;
/** The most tasks that `'auto'` prefetches. */
const MAX_PREFETCH = 256;
/**
 * A message and its envelope become one JavaScript string, and strings are limited to just under
 * 512 MiB.
 */
const MAX_MESSAGE_SIZE = 511 * 1024 * 1024;

const MEBIBYTE = 1024 * 1024;

const OPTIONS = Object.freeze([
  'worker',
  'minWorkers',
  'maxWorkers',
  'standby',
  'idleTimeout',
  'concurrency',
  'maxQueue',
  'maxQueueBytes',
  'prefetch',
  'taskTimeout',
  'priorityAgeing',
  'retries',
  'retryDelay',
  'startTimeout',
  'restart',
  'gracePeriod',
  'maxTasksPerWorker',
  'maxWorkerAge',
  'recycleMemory',
  'maxMemory',
  'captureStack',
  'collectBuffers',
  'serialization',
  'maxMessageSize',
  'env',
  'argv',
  'execArgv',
  'execPath',
  'cwd',
  'stdio',
  'nice',
  'name',
]);

const RESTART_OPTIONS = Object.freeze(['limit', 'window', 'minDelay', 'maxDelay']);

/**
 * The configuration of the native pool; see src/bindings/native_config.rs.
 *
 * @typedef {import('../../native.cjs').NativeConfig} NativeConfig
 *
 * @typedef {{ minWorkers: number, maxWorkers: number }} PoolSize
 *
 * @typedef {object} Settings
 * @property {NativeConfig} config
 * @property {import('./worker-command').WorkerKind} kind
 * @property {string | null} worker file URL of the module
 * @property {boolean} collectBuffers
 */

/**
 * @param {unknown} options as the user gave them
 * @param {() => number} availableParallelism the number of cores that this process may use
 * @returns {Settings}
 */
function resolveOptions(options, availableParallelism) {
  const own = ownOptions('options', options, OPTIONS);
  /** @param {string} key @param {number} fallback @param {number} min @param {number} max */
  const count = (key, fallback, min, max) =>
    integer(`options.${key}`, or(own[key], fallback), min, max);
  /** @param {string} key @param {number} fallback @param {number} [min] */
  const time = (key, fallback, min) => delay(`options.${key}`, or(own[key], fallback), min);
  /** @param {string} key @param {number} fallback @param {number} [min] */
  const limit = (key, fallback, min) => delayOrNever(`options.${key}`, or(own[key], fallback), min);

  const { kind, worker, waits, ...command } = resolveCommand(own);
  const cores = Math.min(Math.max(availableParallelism(), 1), MAX_WORKERS);
  const serialization = oneOf('options.serialization', or(own.serialization, 'json'), [
    'json',
    'advanced',
  ]);
  return {
    kind,
    worker,
    collectBuffers: flag('options.collectBuffers', or(own.collectBuffers, true)),
    config: {
      name: text('options.name', or(own.name, 'bulkhead')),
      ...command,
      stdio: oneOf('options.stdio', or(own.stdio, 'inherit'), ['inherit', 'pipe', 'ignore']),
      nice: own.nice === undefined ? null : count('nice', 0, -20, 19),
      serialization,
      ...poolSize('options', own, { minWorkers: cores, maxWorkers: cores }),
      standby: standby(count('standby', 0, 0, MAX_WORKERS), command),
      idleTimeout: limit('idleTimeout', 10_000),
      concurrency: count('concurrency', 1, 1, MAX_CONCURRENCY),
      maxQueue: finite(count('maxQueue', 1_000_000, 0, Infinity)),
      maxQueueBytes: finite(count('maxQueueBytes', 1024 * MEBIBYTE, 0, Infinity)),
      prefetch: prefetch(or(own.prefetch, 'auto')),
      taskTimeout: zeroIfInfinite(limit('taskTimeout', 0)),
      priorityAgeing: ageing(or(own.priorityAgeing, 1_000)),
      retries: count('retries', 0, 0, MAX_RETRIES),
      retryDelay: time('retryDelay', 100),
      // A worker that waits for a debugger waits for a person.
      startTimeout: limit('startTimeout', waits ? MAX_DELAY : 30_000, 1),
      ...restartPolicy(own.restart),
      gracePeriod: time('gracePeriod', 2_000),
      ...workerLimits(own),
      captureStack: flag('options.captureStack', or(own.captureStack, false)),
      maxMessageSize: count('maxMessageSize', 64 * MEBIBYTE, 1, MAX_MESSAGE_SIZE),
    },
  };
}

/**
 * Replaces undefined by a default. null is an error, which the validator of the option rejects.
 *
 * @param {unknown} value
 * @param {unknown} fallback
 */
function or(value, fallback) {
  return value === undefined ? fallback : value;
}

/**
 * Resolves both bounds. If only one is given and conflicts with the other, the other is adjusted to
 * match.
 *
 * @param {string} name of the object
 * @param {Record<string, unknown>} own
 * @param {PoolSize} otherwise
 * @returns {PoolSize}
 */
function poolSize(name, own, { minWorkers, maxWorkers }) {
  /** @param {string} key @param {number} least */
  const bound = (key, least) =>
    own[key] === undefined ? undefined : integer(`${name}.${key}`, own[key], least, MAX_WORKERS);
  const min = bound('minWorkers', 0);
  const max = bound('maxWorkers', 1);
  if (min !== undefined && max !== undefined && min > max) {
    throw outOfRange(`${name}.minWorkers`, `<= ${name}.maxWorkers (${max})`, min);
  }
  return {
    minWorkers: min ?? Math.min(minWorkers, max ?? minWorkers),
    maxWorkers: max ?? Math.max(maxWorkers, min ?? maxWorkers),
  };
}

/**
 * Without a worker id there is no port for the worker's debugger, so a pool that is debugged has no
 * standbys.
 *
 * @param {number} count
 * @param {Pick<NativeConfig, 'inspect'>} command
 */
function standby(count, { inspect }) {
  return inspect === null ? count : 0;
}

/**
 * @param {unknown} value
 * @returns {number} 0 for 'auto'
 */
function prefetch(value) {
  if (typeof value === 'string') {
    oneOf('options.prefetch', value, ['auto']);
    return 0;
  }
  return integer('options.prefetch', value, 1, MAX_PREFETCH);
}

/**
 * @param {unknown} value
 * @returns {number} ms; Infinity becomes a time longer than any task waits
 */
function ageing(value) {
  return value === Infinity ? MAX_DELAY : delay('options.priorityAgeing', value, 1);
}

/** @param {unknown} restart */
function restartPolicy(restart) {
  const own = ownOptions('options.restart', restart, RESTART_OPTIONS);
  const minDelay = delay('options.restart.minDelay', or(own.minDelay, 100));
  // If only minDelay is given, maxDelay is at least minDelay.
  const maxDelay = delay('options.restart.maxDelay', or(own.maxDelay, Math.max(5_000, minDelay)));
  if (minDelay > maxDelay) {
    throw outOfRange(
      'options.restart.minDelay',
      `<= options.restart.maxDelay (${maxDelay})`,
      minDelay,
    );
  }
  return {
    restartLimit: integer('options.restart.limit', or(own.limit, 5), 0, MAX_RETRIES),
    restartWindow: delayOrNever('options.restart.window', or(own.window, 10_000), 1),
    restartMinDelay: minDelay,
    restartMaxDelay: maxDelay,
  };
}

/**
 * Resolves the limits after which a worker is replaced or killed; 0: unlimited.
 *
 * @param {Record<string, unknown>} own
 */
function workerLimits(own) {
  /** @param {string} key @param {(name: string, value: unknown) => number} check */
  const limit = (key, check) =>
    own[key] === undefined ? 0 : zeroIfInfinite(check(`options.${key}`, own[key]));
  const limits = {
    maxTasksPerWorker: limit('maxTasksPerWorker', (name, value) =>
      integer(name, value, 1, Infinity),
    ),
    maxWorkerAge: limit('maxWorkerAge', (name, value) => delayOrNever(name, value, 1)),
    recycleMemory: limit('recycleMemory', (name, value) => bytes(name, value, 1)),
    maxMemory: limit('maxMemory', (name, value) => bytes(name, value, 1)),
  };
  const { recycleMemory, maxMemory } = limits;
  if (maxMemory > 0 && recycleMemory >= maxMemory)
    throw outOfRange(
      'options.recycleMemory',
      `< options.maxMemory (${maxMemory} bytes)`,
      own.recycleMemory,
    );
  return limits;
}

/**
 * Replaces Infinity: the native side takes integers only.
 *
 * @param {number} value
 */
function finite(value) {
  return Math.min(value, Number.MAX_SAFE_INTEGER);
}

/**
 * @param {unknown} options of `shutdown()`
 * @returns {{ timeout: number, drain: 'all' | 'running' }} `timeout`: Infinity for none
 */
function resolveShutdownOptions(options) {
  const own = ownOptions('options', options, ['timeout', 'drain']);
  return {
    timeout: delayOrNever('options.timeout', or(own.timeout, Infinity)),
    drain: oneOf('options.drain', or(own.drain, 'all'), ['all', 'running']),
  };
}

/**
 * @param {unknown} size of `resize()`
 * @param {PoolSize} now
 * @returns {PoolSize}
 */
function resolveSize(size, now) {
  if (size === undefined) throw invalidType('size', 'of type object', size);
  return poolSize('size', ownOptions('size', size, ['minWorkers', 'maxWorkers']), now);
}

module.exports = { MAX_WORKERS, resolveOptions, resolveShutdownOptions, resolveSize };
