'use strict';

// The point of a death on purpose that only JavaScript passes (see CONTRIBUTING.md): in the midst
// of a task. The worker is changed where it is asked for, so that no task has to look.

/**
 * @param {import('./native-port').Port} port
 * @param {import('./module-program').Program} program
 * @returns {import('./module-program').Program} which may die once the synchronous part of a handler has run
 */
function withFault(port, program) {
  if (!port.isArmed('task')) return program;
  const start = program.start.bind(program);
  return Object.assign(program, {
    /** @type {typeof start} */
    start(task, context) {
      const value = start(task, context);
      port.failPoint('task');
      return value;
    },
  });
}

module.exports = { withFault };
