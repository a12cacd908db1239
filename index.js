'use strict';

// The bundle of lib/, see scripts/bundle.mjs. The export takes two steps, so that Node does not
// scan the bundle for named exports.
const ProcessManager = require('./dist/index.js');

module.exports = ProcessManager;
