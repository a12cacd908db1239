'use strict';

// Which of this process's flags its workers inherit: all but those that say what this process
// itself is to run, test, watch, or listen on for a debugger.

/**
 * `-e` and its like. Their script is not ours to run, and is the next argument whatever it looks
 * like.
 */
const EVAL = /^(?:-e|-pe|--eval)$/;
/** With a value of its own, after `=` or as the next argument. */
const WITH_VALUE =
  /^(?:-p|--print|--input-type|--watch-path|--test-[a-z-]+|--inspect-port|--debug-port|--inspect-publish-uid)$/;
/** `--hot` is Bun's `--watch`. */
const ALONE =
  /^(?:--inspect|--inspect-brk|--inspect-wait|--watch|--watch-preserve-output|--hot|--test|--check|-c|--interactive|-i)$/;

const INSPECT =
  /(^|\s)--(?:inspect(?:-brk|-wait|-port|-publish-uid)?|debug-port)(?:=\S*)?(?=\s|$)/g;

/**
 * @param {readonly string[]} execArgv such as `process.execArgv`
 * @returns {string[]} what is left for a worker
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
 * @param {string} options value of the variable NODE_OPTIONS
 * @returns {string} without the flags for a debugger, whose port this process has taken
 */
function nodeOptions(options) {
  return options.replace(INSPECT, '').trim();
}

/**
 * As Node does it: at spaces that are not in double quotes, where a backslash makes the next
 * character an ordinary one.
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
 * @returns {string} one word of NODE_OPTIONS
 */
function quoted(flag) {
  return /[ "\\]/.test(flag) ? `"${flag.replace(/["\\]/g, '\\$&')}"` : flag;
}

module.exports = { nodeFlags, nodeOptions, quoted, splitOptions };
