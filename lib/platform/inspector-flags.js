'use strict';

// Reads from Node's flags whether and where its inspector ("debugger") opens at the start.

const { splitOptions } = require('./node-flags');

const OPENS = /^--inspect(?:-brk|-wait)?$/;
const WAITS = /^--inspect-(?:brk|wait)$/;
const PORT = /^--(?:inspect-port|debug-port)$/;

const LOOPBACK = '127.0.0.1';

/**
 * @typedef {object} InspectorFlags
 * @property {string} host an IP address or a name
 * @property {number} port 0: any free port, also the default
 * @property {boolean} waits the program waits for a debugger
 */

/**
 * @param {readonly string[]} execArgv
 * @param {string} options value of NODE_OPTIONS, which Node reads before `execArgv`
 * @returns {InspectorFlags | null} null: the inspector stays closed
 */
function inspectorFlags(execArgv, options) {
  const flags = [...splitOptions(options), ...execArgv];
  const found = { host: LOOPBACK, port: 0, waits: false };
  let opens = false;
  for (let i = 0; i < flags.length; i++) {
    const end = flags[i].indexOf('=');
    const name = (end < 0 ? flags[i] : flags[i].slice(0, end)).replaceAll('_', '-');
    const opening = OPENS.test(name);
    if (!opening && !PORT.test(name)) continue;
    opens ||= opening;
    found.waits ||= WAITS.test(name);
    if (end >= 0) Object.assign(found, hostAndPort(flags[i].slice(end + 1)));
    else if (!opening && i + 1 < flags.length) Object.assign(found, hostAndPort(flags[++i]));
  }
  return opens ? found : null;
}

/**
 * @param {string} value `[host:]port`, or a host alone
 * @returns {{ host?: string, port: number }}
 */
function hostAndPort(value) {
  if (/^\d+$/.test(value)) return { port: portOf(value) };
  const alone = /^\[[^\]]*\]$/.test(value) || !value.includes(':');
  const colon = alone ? value.length : value.lastIndexOf(':');
  const host = value.slice(0, colon).replace(/^\[(.*)\]$/, '$1');
  return { host: host || LOOPBACK, port: portOf(value.slice(colon + 1)) };
}

/** @param {string} digits Node reports an invalid port, because it reads the same flags */
function portOf(digits) {
  const port = Number(digits);
  return port <= 0xffff ? port : 0;
}

module.exports = { inspectorFlags };
