'use strict';

// 'bulkhead/worker' is for types (see worker.d.ts), and for modules that are program and worker at
// once: what a handler needs, it gets as arguments.

/** See lib/platform/worker-process.js. */
exports.isWorker = process[Symbol.for('bulkhead.worker')] !== undefined;
