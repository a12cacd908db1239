'use strict';

// Selects the flags of this process that its workers inherit: all except those that say what this
// process itself runs, tests, watches, or opens for a debugger.

/**
 * Flags with a script: the next argument, even if it looks like a flag. Workers must not run the
 * script.
 */
const EVAL = /^(?:-e|-pe|--eval)$/;
/** Flags with a value, after `=` or as the next argument. */
const WITH_VALUE =
  /^(?:-p|--print|--input-type|--watch-path|--test-[a-z-]+|--inspect-port|--debug-port|--inspect-publish-uid)$/;
/** Flags without a value. `--hot` is Bun's `--watch`. */
const ALONE =
  /^(?:--inspect|--inspect-brk|--inspect-wait|--watch|--watch-preserve-output|--hot|--test|--check|-c|--interactive|-i)$/;

const INSPECT =
  /(^|\s)--(?:inspect(?:-brk|-wait|-port|-publish-uid)?|debug-port)(?:=\S*)?(?=\s|$)/g;

/**
 * @param {readonly string[]} execArgv such as `process.execArgv`
 * @returns {string[]} the flags for a worker
 */
function nodeFlags(execArgv) {
  const kept = [];
  for (let i = 0; i < execArgv.length; i++) {
    const [flag] = execArgv[i].split('=', 1);
    const joined = flag.length < execArgv[i].length;
    if (EVAL.test(flag)) {
      if (!joined) i += 1;
    } else if (WITH_VALUE.test(flag)) {
      const next = execArgv[i + 1];
      if (!joined && next !== undefined && !next.startsWith('-')) i += 1;
    } else if (!ALONE.test(flag)) {
      kept.push(execArgv[i]);
    }
  }
  return kept;
}

/**
 * @param {string} options value of NODE_OPTIONS
 * @returns {string} the value without inspector flags, whose port this process uses
 */
function nodeOptions(options) {
  return options.replace(INSPECT, '').trim();
}

/**
 * Splits NODE_OPTIONS as Node does: at spaces outside of double quotes. Inside of quotes a
 * backslash escapes the next character.
 *
 * @param {string} options
 * @returns {string[]}
 */
function splitOptions(options) {
  const words = options.match(/(?:"(?:\\.|[^"\\])*"|[^ "])+/gs) ?? [];
  return words.map((word) =>
    word.replace(/"((?:\\.|[^"\\])*)"/gs, (_, quoted) => quoted.replace(/\\(.)/gs, '$1')),
  );
}

/**
 * @param {string} flag
 * @returns {string} the flag as one word of NODE_OPTIONS
 */
function quoted(flag) {
  return /[ "\\]/.test(flag) ? `"${flag.replace(/["\\]/g, '\\$&')}"` : flag;
}

module.exports = { nodeFlags, nodeOptions, quoted, splitOptions };
