'use strict';

// Whatever way the process ends by its own doing, what was said before goes out first.
//
// Three nets, because user code may remove any one of them: `exit` listeners go with
// process.removeAllListeners(), and an uncaught exception ends the process without
// process.reallyExit(). A signal leaves no time for any of this; that is why nothing but the
// replies of one batch is ever held back.

const process = require('node:process');

/** @param {import('./channel').Channel} channel */
function flushBeforeExit(channel) {
  // First among the `exit` listeners; what the later ones say is written as they say it.
  process.on('exit', () => channel.stopBatching());
  process.on('uncaughtExceptionMonitor', () => channel.flush());
  // Not in Node's documentation, but what process.exit() ends in, and where other packages
  // (signal-exit) hook in as well.
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
