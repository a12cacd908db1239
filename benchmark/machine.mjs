// Describes the machine, without which figures mean nothing.

import { readFileSync } from 'node:fs';
import { arch, availableParallelism, cpus, loadavg, release, totalmem, type } from 'node:os';
import { versions } from './install.mjs';

/**
 * @typedef {object} Machine
 * @property {string} node
 * @property {string} bulkhead
 * @property {string} cpu
 * @property {number} cores that may be used
 * @property {number} memoryGiB
 * @property {string} system
 * @property {number} load of the last minute, before
 * @property {string} date
 * @property {Record<string, string>} libraries
 * @property {readonly string[]} [unset] variables that no measured process has
 */

/**
 * Variables that slow down each start of Node, or change what is measured. The first alone takes
 * Node.js 20 seventy milliseconds of a core in each start.
 */
const UNSET = Object.freeze(['NODE_EXTRA_CA_CERTS', 'NODE_OPTIONS']);

/** Returns the environment of the processes that are measured. */
export function measuredEnvironment() {
  const env = { ...process.env };
  for (const name of UNSET) delete env[name];
  return env;
}

/** @returns {Machine} */
export function describeMachine() {
  const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
  return {
    node: process.versions.node,
    bulkhead: version,
    cpu: cpus()[0]?.model.trim() ?? 'unknown CPU',
    cores: availableParallelism(),
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    system: `${type()} ${release()} ${arch()}`,
    load: Number(loadavg()[0].toFixed(2)),
    date: new Date().toISOString().slice(0, 10),
    libraries: versions,
    unset: UNSET,
  };
}

/** @param {Machine} machine */
export function machineLine({ node, cpu, cores, memoryGiB, system, load, date, unset = [] }) {
  const environment = unset.length === 0 ? '' : `, without ${unset.join(' and ')}`;
  return `Node ${node}, ${cores} cores of ${cpu}, ${memoryGiB} GiB, ${system}, load ${load} before, ${date}${environment}`;
}
