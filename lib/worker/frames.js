'use strict';

// The supervisor's frames, as docs/protocol.md describes them. Types only.

/**
 * @typedef {object} InitFrame
 * @property {'init'} type
 * @property {number} version
 * @property {number} workerId
 * @property {string} pool
 * @property {number} depth of pools within pools, from 1
 * @property {number} parentPid
 * @property {number} concurrency
 * @property {number} maxMessageSize
 * @property {'json' | 'advanced'} serialization
 * @property {{ worker: string | null, argv: string[], captureStack?: boolean, engine?: string, ancestors?: string[] }} options
 *   `worker`: file URL of the module; null: the built-in worker. `captureStack`: the supervisor may ask for the stack.
 *   `engine`: the JavaScript engine on the other side, unless it is V8. `ancestors`: see ../platform/worker-process.js
 */

/**
 * @typedef {object} TaskFrame
 * @property {'task'} [type]
 * @property {number} [id] of this attempt of the task
 * @property {number} [epoch] 0 unless it says otherwise
 * @property {number} [attempt] 1 unless it says otherwise
 * @property {any} [task]
 * @property {string | number} [taskId] where it is not `task.id`
 * @property {string} [handler]
 * @property {string} [filename] file URL
 * @property {string} [exec] source of a function, of which `task` are the arguments
 * @property {number} [stream] it gives several values, so many before the first `credit`
 * @property {string} [trace] W3C traceparent
 * @property {boolean} [call] `task` are the arguments of the handler, and all that it gets
 * @property {number[]} [undefined] of a call: those of its arguments for which JSON has null and no better
 * @property {number[]} [bytes]
 * @property {number} [shared] the port has taken them from there
 * @property {unknown} [binary]
 * @property {unknown} [encoding]
 * @property {Buffer[]} [blobs] not on the wire: the raw bytes, once they are here
 */

/** @typedef {'abort' | 'timeout'} AbortReason */

/**
 * @typedef {object} AbortFrame
 * @property {'abort'} type
 * @property {number} id
 * @property {AbortReason} reason
 */

/**
 * @typedef {object} CreditFrame
 * @property {'credit'} type
 * @property {number} id
 * @property {number} count of values that may follow on top
 */

/**
 * @typedef {object} MessageFrame of the user
 * @property {'message'} type
 * @property {any} [message]
 * @property {number[]} [bytes]
 * @property {unknown} [binary]
 * @property {unknown} [encoding]
 * @property {Buffer[]} [blobs] not on the wire
 */

/** @typedef {InitFrame | TaskFrame | AbortFrame | CreditFrame | MessageFrame | { type: 'stop' }} Frame */

module.exports = {};
