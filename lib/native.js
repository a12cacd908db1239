'use strict';

// The native addon, and what of it the JavaScript side relies on.

const process = require('node:process');
const { missingAddon } = require('./platform/missing-addon');

/**
 * Everything present; null means none.
 *
 * @typedef {object} NativeConfig
 * @property {string} name
 * @property {string} command
 * @property {string[]} args
 * @property {boolean} isNode the command is Node.js, which is told to run a worker of ours
 * @property {{ position: number, host: string, port: number } | null} inspect the flags in `args` or `env` have Node open
 *   its inspector: where in `args` each worker's own port goes, and what they say; port 0: any
 * @property {string[]} env `KEY=value`
 * @property {string | null} cwd absolute; null: that of this process at the time of the start
 * @property {boolean} ownCwd that is where this process is now
 * @property {number | null} nice
 * @property {'inherit' | 'pipe' | 'ignore'} stdio
 * @property {string} initOptions JSON of an object, passed on to the workers as it is
 * @property {'json' | 'advanced'} serialization
 * @property {number} minWorkers
 * @property {number} maxWorkers
 * @property {number} idleTimeout ms
 * @property {number} concurrency
 * @property {number} maxQueue tasks
 * @property {number} maxQueueBytes
 * @property {number} prefetch 0: bounded in time
 * @property {number} taskTimeout ms; 0: none
 * @property {number} priorityAgeing ms
 * @property {number} retries
 * @property {number} retryDelay ms
 * @property {number} startTimeout ms
 * @property {number} restartLimit
 * @property {number} restartWindow ms
 * @property {number} restartMinDelay ms
 * @property {number} restartMaxDelay ms
 * @property {number} gracePeriod ms
 * @property {number} maxTasksPerWorker 0: any number
 * @property {number} maxWorkerAge ms; 0: any
 * @property {number} recycleMemory bytes; 0: any number
 * @property {number} maxMemory bytes; 0: any number
 * @property {boolean} captureStack
 * @property {number} maxMessageSize bytes
 */

/**
 * @typedef {object} NativePool
 * @property {() => void} start idempotent
 * @property {() => (ticket: number, json: string) => number} submitter gives a function that takes a task: 0: accepted;
 *   -1, -2: the queue is full, in tasks or in bytes; more than 0: the size in bytes, which exceeds `maxMessageSize`
 * @property {() => (ticket: number, json: string, handler: number, header: string) => number} headedSubmitter gives a function
 *   that does the same for a task that names a handler, or has a header
 * @property {(ticket: number, json: string, handler: number, header: string, timeout: number, retries: number,
 *   priority: number, key: string | null, binaries: Uint8Array[] | null) => number} submitWith the same; -1 as timeout or retries: the pool's own
 * @property {(workerId: number, json: string, header: string, binaries: Uint8Array[] | null) => number} send a message to a
 *   worker, or to all (0) that are ready: to how many; less than 0: the size in bytes, negative, which exceeds `maxMessageSize`
 * @property {(ticket: number, count: number) => void} credit so many more values of a task may be on their way
 * @property {(ticket: number) => void} cancel
 * @property {(pid: number, what: string) => void} killForProtocolError kills a worker for what it said
 * @property {() => void} disownResult the result of a task could not be taken: the task counts as failed
 * @property {(dropWaiting: boolean, timeout: number) => void} shutdown ms; -1: none
 * @property {(minWorkers: number, maxWorkers: number, number: number) => void} resize an event "resized" with this number tells
 *   when it is done
 * @property {(number: number) => void} reload an event "reloaded" or "reload-failed" with this number tells when it is done
 * @property {() => void} terminate
 * @property {() => NativeBatch | null} drain
 * @property {() => boolean} rearm whether more is waiting; if not, `onBatch` is called for what comes next
 * @property {() => void} ref
 * @property {() => void} unref
 * @property {() => string} stats JSON
 * @property {() => boolean} wantRoom whether the queue would take a task; if not, an event "drain" comes once it would
 * @property {(listening: boolean) => void} setStdioListening
 * @property {() => void} release the pool is closed and its last row read; nothing may be called after it
 */

/**
 * Number of rows, JSON array of their values, long values as texts of their own, raw bytes.
 *
 * @typedef {[count: number, json: string, strings: string[], blobs: Buffer[]]} NativeBatch
 */

/**
 * @typedef {object} NativeAddon
 * @property {new (config: NativeConfig, meta: Float64Array, onBatch: () => void) => NativePool} ProcessManager
 * @property {new (attempts: Float64Array) => import('./worker/native-port').Port} WorkerPort
 * @property {() => number} availableParallelism
 * @property {() => boolean} readsMemory whether it can be seen how much memory a process uses
 * @property {(text: string) => Buffer} encodeText see lib/codec/long-strings.js
 * @property {() => number} depth how deep in pools within pools this process is; 0: no pool has started it
 */

if (process.platform === 'win32') {
  throw new Error(
    'bulkhead does not support Windows yet: it runs on Linux and macOS (and so in WSL)',
  );
}

/** @returns {NativeAddon} */
function load() {
  // Generated by the build, so that no type checker may count on it.
  const addon = '../native.cjs';
  try {
    return require(addon);
  } catch {
    // What it says is about every candidate that it knows, and about npm.
    throw missingAddon((id) => require(id));
  }
}

module.exports = load();
