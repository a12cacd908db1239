'use strict';

// The line of a dead worker's standard error that says most about its end.

/** UTF-16 units. */
const MAX_LENGTH = 200;

/** What an uncaught exception begins with, in most languages, or a runtime that gives up. */
const TELLING =
  /^(?:FATAL ERROR: |# Fatal |fatal error: |panic: |thread '.*' panicked|(?:Uncaught )?[\w.$]*(?:Error|Exception)\b)/;
/** Of a stack trace, or Node's signature below it. */
const NOISE = /^(?:\s*at |\s*\d+: |-{3,} |Node\.js v\d|[-\s^~{}[\]]*$)/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const ESCAPES = /\x1b\[[\d;?]*[@-~]/g;
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const CONTROLS = /[\x00-\x1f\x7f-\x9f]+/g;

/**
 * @param {string} stderr the end of it
 * @returns {string} one line, shortened, fit for a log; empty where there is nothing to say
 */
function summarizeStderr(stderr) {
  const lines = stderr.replace(ESCAPES, '').split('\n');
  const line =
    lines.findLast((text) => TELLING.test(text)) ??
    lines.findLast((text) => !NOISE.test(text)) ??
    '';
  const words = line.replace(CONTROLS, ' ').trim();
  return words.length > MAX_LENGTH ? `${words.slice(0, MAX_LENGTH)}…` : words;
}

module.exports = { summarizeStderr };
