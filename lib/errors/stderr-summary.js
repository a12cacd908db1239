'use strict';

// Finds the line of a dead worker's standard error that explains its end best.

/** Maximum length of the summary (UTF-16 units). */
const MAX_LENGTH = 200;

/**
 * Beginning of the line that an uncaught exception or a failing runtime prints, in most languages.
 */
const TELLING =
  /^(?:FATAL ERROR: |# Fatal |fatal error: |panic: |thread '.*' panicked|(?:Uncaught )?[\w.$]*(?:Error|Exception)\b)/;
/** Lines of a stack trace, and Node's version line below one. */
const NOISE = /^(?:\s*at |\s*\d+: |-{3,} |Node\.js v\d|[-\s^~{}[\]]*$)/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const ESCAPES = /\x1b\[[\d;?]*[@-~]/g;
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const CONTROLS = /[\x00-\x1f\x7f-\x9f]+/g;

/**
 * @param {string} stderr end of the standard error
 * @returns {string} one shortened line without control characters; empty if there is none
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
