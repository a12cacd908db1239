'use strict';

const handle = require('./handle.cjs');

process.on('message', (task) => process.send(handle(task)));
