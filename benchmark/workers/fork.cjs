'use strict';

const handle = require('./handle.cjs');

process.on('message', ({ i, task }) => {
  process.send({ i, result: handle(task) });
});
