'use strict';

// Types of the supervisor's frames, as docs/protocol.md describes them.

/**
 * @typedef {object} InitFrame
 * @property {'init'} type
 * @property {number} version
 * @property {number} workerId
 * @property {string} pool
 * @property {number} depth nesting depth of the pool, from 1
 * @property {number} parentPid
 * @property {number} concurrency
 * @property {number} maxMessageSize
 * @property {'json' | 'advanced'} serialization
 * @property {{ worker: string | null, argv: string[], captureStack?: boolean, engine?: string,
 *   ancestors?: string[] }} options `worker`: file URL of the module; null: the built-in program.
 *   `captureStack`: the supervisor may ask for the stack. `engine`: the JavaScript engine on the
 *   other side, unless it is V8. `ancestors`: see ../platform/worker-process.js
 */

/**
 * @typedef {object} TaskFrame
 * @property {'task'} [type]
 * @property {number} [id] of this attempt of the task
 * @property {number} [epoch] default: 0
 * @property {number} [attempt] number of the attempt, default: 1
 * @property {any} [task]
 * @property {string | number} [taskId] the user's id, if different from `task.id`
 * @property {string} [handler]
 * @property {string} [filename] file URL
 * @property {string} [exec] source of a function, whose arguments are in `task`
 * @property {number} [stream] a streamed task: number of chunks to send before the first `credit`
 * @property {string} [trace] W3C traceparent
 * @property {boolean} [call] the handler gets the arguments in `task`, and nothing else
 * @property {number[]} [undefined] of a call: positions of its undefined arguments, which are null
 *   in JSON
 * @property {number[]} [bytes]
 * @property {number} [shared] offset of the raw bytes in the shared memory, from which the port has
 *   copied them
 * @property {unknown} [binary]
 * @property {unknown} [encoding]
 * @property {(Buffer | string)[]} [blobs] not on the wire: the raw bytes, after their arrival
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
 * @property {number} count number of further chunks to allow
 */

/**
 * @typedef {object} MessageFrame of the user
 * @property {'message'} type
 * @property {any} [message]
 * @property {number[]} [bytes]
 * @property {unknown} [binary]
 * @property {unknown} [encoding]
 * @property {(Buffer | string)[]} [blobs] not on the wire
 */

/** @typedef {InitFrame | TaskFrame | AbortFrame | CreditFrame | MessageFrame | { type: 'stop' }} Frame */

module.exports = {};
