'use strict';

const { ThreadWorker } = require('poolifier');

module.exports = new ThreadWorker(require('./handle.cjs'), { maxInactiveTime: 600_000 });
