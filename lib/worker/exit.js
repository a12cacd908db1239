'use strict';

// Flushes all replies before the process ends by itself, however that happens.
//
// There are three hooks, because user code can remove each of them. process.removeAllListeners()
// removes `exit` listeners, and an uncaught exception ends the process without
// process.reallyExit(). A signal leaves no time for any hook, so only one batch of replies is ever
// delayed.

const process = require('node:process');

/** @param {import('./channel').Channel} channel */
function flushBeforeExit(channel) {
  // This listener runs first. Later listeners write unbatched.
  process.on('exit', () => channel.stopBatching());
  process.on('uncaughtExceptionMonitor', () => channel.flush());
  // Undocumented, but process.exit() ends in this function, and other packages (signal-exit) hook
  // it too.
  const internals = /** @type {{ reallyExit(code: number): never }} */ (
    /** @type {unknown} */ (process)
  );
  const reallyExit = internals.reallyExit.bind(process);
  internals.reallyExit = (code) => {
    channel.stopBatching();
    return reallyExit(code);
  };
}

module.exports = { flushBeforeExit };
