'use strict';

// The table from failures that the native side reports to the error classes that users see.

const {
  AbortError,
  BulkheadError,
  PoolBrokenError,
  PoolClosedError,
  ProtocolError,
  TaskTimeoutError,
  WorkerCrashedError,
  WorkerStartError,
} = require('./classes');
const { fromWire, withoutStack } = require('./from-wire');
const { summarizeStderr } = require('./stderr-summary');

/**
 * @typedef {object} StartFailure the reason why a worker did not become ready
 * @property {'exit' | 'timeout' | 'spawn' | 'protocol' | 'fail'} reason
 * @property {string} message
 * @property {number | null} exitCode
 * @property {string | null} signal
 * @property {boolean} outOfMemory
 * @property {boolean} channelClosed
 * @property {string} stderr
 * @property {object | null} error wire form of the error that the worker reports
 * @property {number} workerId
 * @property {number | null} pid null: no process was started
 */

/**
 * The reason why a task failed outside of its handler. Each kind has the fields that its table
 * entry reads.
 *
 * @typedef {{ kind: string } & Record<string, any>} Failure
 */

/** @typedef {{ taskId?: string | number, attempts?: number }} About */

/**
 * Maximum length of a task id in a message (UTF-16 units). Ids belong to the user and may be of any
 * length.
 */
const MAX_ID = 64;

/** @type {Map<string, (failure: Failure, about: About, reason: unknown) => Error>} */
const TABLE = new Map(
  Object.entries({
    crashed: ({ kind, memoryLimit, ...fields }, about) =>
      new WorkerCrashedError(crashMessage({ ...fields, memoryLimit }, about), {
        ...about,
        ...fields,
      }),
    timeout: ({ kind, ...fields }, about) =>
      new TaskTimeoutError(`the task ran longer than its timeout of ${fields.timeout} ms`, {
        ...about,
        ...fields,
      }),
    aborted: (_, about, reason) =>
      new AbortError('the task was cancelled', { ...about, cause: reason }),
    closed: ({ maybeExecuted }, about) => poolClosed({ ...about, maybeExecuted }),
    broken: ({ cause, maybeExecuted }, about) =>
      poolBroken(startError(cause), { ...about, maybeExecuted }),
    protocol: ({ kind, ...fields }, about) =>
      new ProtocolError(protocolMessage(fields), { ...about, ...fields }),
  }),
);

/**
 * @param {Failure} failure
 * @param {About} [about] the task, if the failure concerns one
 * @param {unknown} [reason] the reason given for cancelling the task
 * @returns {Error & Record<string, any>}
 */
function toError(failure, about = {}, reason = undefined) {
  return withoutStack(() => {
    const make = TABLE.get(failure.kind);
    return make === undefined
      ? new BulkheadError(`unknown failure: ${failure.kind}`, { ...about })
      : make(failure, about, reason);
  });
}

/**
 * Describes a crash in one sentence.
 *
 * @param {Record<string, any>} crash
 * @param {About} about
 */
function crashMessage(crash, about) {
  const { workerId, pid, phase, reason, maybeExecuted, stderr } = crash;
  const task = about.taskId === undefined ? 'a task' : `task ${idText(about.taskId)}`;
  const when = {
    running: `while running ${task}`,
    result: `while writing the result of ${task}`,
    stopping: `while being stopped (${reason}) with ${task} still running`,
  }[/** @type {string} */ (phase)];
  const doubt = maybeExecuted ? '; the task may have been executed' : '';
  const end = `${memoryText(crash)}${exitText(crash)} ${when}`;
  return `worker ${workerId} (pid ${pid}) ${end}${repeatedCrash(about) ?? doubt}${stderrText(stderr)}`;
}

/** @param {Record<string, any>} crash */
function memoryText({ outOfMemory, memoryLimit, rss }) {
  if (typeof memoryLimit === 'number')
    return `used ${rss} bytes of memory, more than maxMemory (${memoryLimit}), and `;
  return outOfMemory ? 'ran out of memory and ' : '';
}

/**
 * Mentions repeated attempts, because such a task will probably kill the next worker too.
 *
 * @param {About} about
 */
function repeatedCrash({ attempts = 1 }) {
  if (attempts < 2) return undefined;
  return `; each of the ${attempts} attempts of the task ended with the death of its worker`;
}

/** @param {Record<string, any>} crash */
function exitText({ exitCode, signal, channelClosed }) {
  if (channelClosed)
    return `closed its channel and was terminated${signal === null ? '' : ` by ${signal}`}`;
  if (signal !== null) return `was killed by ${signal}`;
  if (exitCode !== null) return `exited with code ${exitCode}`;
  // Other code in this process has reaped the worker.
  return 'exited with unknown status';
}

/** @param {string | number} taskId */
function idText(taskId) {
  if (typeof taskId === 'number') return String(taskId);
  return JSON.stringify(taskId.length > MAX_ID ? `${taskId.slice(0, MAX_ID)}…` : taskId);
}

/** @param {string} stderr */
function stderrText(stderr) {
  const line = summarizeStderr(stderr);
  return line === '' ? '' : `; stderr: ${line}`;
}

/** @param {Record<string, any>} breach */
function protocolMessage({ workerId, pid, what }) {
  return `worker ${workerId} (pid ${pid}) broke the protocol: ${what}`;
}

/**
 * Builds the error for a protocol violation by a worker without a task.
 *
 * @param {{ what: string, workerId: number, pid: number }} breach
 */
function protocolError({ what, workerId, pid }) {
  const fields = { what, workerId, pid };
  return withoutStack(() => new ProtocolError(protocolMessage(fields), fields));
}

/**
 * @param {StartFailure} failure
 * @returns {Error & Record<string, any>}
 */
function startError(failure) {
  return withoutStack(() => {
    const { message, error, ...fields } = failure;
    if (error === null || error === undefined) {
      const memory = failure.outOfMemory ? '; the worker ran out of memory' : '';
      return new WorkerStartError(`${message}${memory}${stderrText(failure.stderr)}`, fields);
    }
    const cause = fromWire(error, false);
    return new WorkerStartError(`${message}: ${cause.message}`, { ...fields, cause });
  });
}

/**
 * @param {Error} cause the most recent start error
 * @param {Record<string, unknown>} [fields]
 * @returns {Error & Record<string, any>}
 */
function poolBroken(cause, fields = {}) {
  return new PoolBrokenError(`the pool is broken: workers do not start: ${cause.message}`, {
    ...fields,
    cause,
  });
}

/** @param {Record<string, unknown>} [fields] */
function poolClosed(fields) {
  return new PoolClosedError('the pool is closed', fields);
}

module.exports = { poolBroken, poolClosed, protocolError, startError, toError };
