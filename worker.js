'use strict';

// 'bulkhead/worker' provides types (see worker.d.ts), and `isWorker` for modules that are program
// and worker at once. A handler gets everything else as arguments.

/** See lib/platform/worker-process.js. */
exports.isWorker = process[Symbol.for('bulkhead.worker')] !== undefined;
