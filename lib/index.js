'use strict';

const errors = require('./errors/classes');
const { ProcessManager } = require('./pool/process-manager');

// `require('bulkhead')` returns the class, which also carries the named exports. They are defined,
// not assigned: assignment could write through to an inherited property of functions or emitters.
for (const [name, value] of Object.entries({
  ProcessManager,
  default: ProcessManager,
  ...errors,
})) {
  Object.defineProperty(ProcessManager, name, { value, enumerable: true });
}

module.exports = ProcessManager;
