'use strict';

// The one fail point that only JavaScript passes (see CONTRIBUTING.md): during a task. It wraps the
// worker's program only if the environment sets it, so no other worker pays for a check.

/**
 * @param {import('./native-port').Port} port
 * @param {import('./module-program').Program} program
 * @returns {import('./module-program').Program} which may die once the synchronous part of a handler has run
 */
function withFailPoint(port, program) {
  if (!port.isFailPointSet('task')) return program;
  const start = program.start.bind(program);
  return Object.assign(program, {
    /** @type {typeof start} */
    start(task, context) {
      const value = start(task, context);
      port.passFailPoint('task');
      return value;
    },
  });
}

module.exports = { withFailPoint };
