'use strict';

const { ClusterWorker } = require('poolifier');

module.exports = new ClusterWorker(require('./handle.cjs'), { maxInactiveTime: 600_000 });
