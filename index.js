'use strict';

// All of lib/, in one file: see scripts/bundle.mjs. (In two steps, so that Node need not look
// through that file for names.)
const ProcessManager = require('./dist/index.js');

module.exports = ProcessManager;
