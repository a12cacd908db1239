'use strict';

// 'bulkhead/worker' is for types (see worker.d.ts): what a worker module gets, it gets as arguments.

module.exports = {};
