'use strict';

const { parentPort } = require('node:worker_threads');
const handle = require('./handle.cjs');

parentPort.on('message', (task) => parentPort.postMessage(handle(task)));
