'use strict';

const errors = require('./errors/classes');
const { ProcessManager } = require('./pool/process-manager');

// require('bulkhead') is the class itself; everything else that can be imported by name hangs on
// it. (By definition and not by assignment, so that a name that functions or emitters have by
// inheritance could never be written through.)
for (const [name, value] of Object.entries({
  ProcessManager,
  default: ProcessManager,
  ...errors,
})) {
  Object.defineProperty(ProcessManager, name, { value, enumerable: true });
}

module.exports = ProcessManager;
