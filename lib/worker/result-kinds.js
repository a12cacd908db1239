'use strict';

// The kinds of results that WorkerPort takes, as src/bindings/worker_port.rs numbers them.

module.exports = Object.freeze({
  /** A value, as JSON. */
  VALUE: 0,
  /** A whole `{ taskId, result, processedBy }`, as JSON. */
  ENVELOPE: 1,
  /** The value `undefined`. */
  UNDEFINED: 2,
  /** A value in V8's format, as base64. */
  V8: 3,
  /** Added to a kind: user code continues, so the result must not wait for the next flush. */
  DURING_USER_CODE: 4,
});
