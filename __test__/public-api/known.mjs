// Faults that are known and not mended yet, one entry each, which goes when its fault is mended. An empty list is the aim.

/**
 * @typedef {object} Known
 * @property {string} id
 * @property {string} what
 * @property {(world: import('./world.mjs').World, call: import('./plan.mjs').Call) => boolean} [skips] whether the call would lead
 *   to the fault
 * @property {(violation: { rule: string, what: string }, plan: import('./plan.mjs').Plan) => boolean} [tolerates]
 */

/** @type {Known[]} */
const KNOWN = [
  {
    id: 'A3',
    what: 'errors of the pool itself are uncaught where nobody listens',
    tolerates: ({ rule, what }, { hearsErrors }) => {
      return rule === 'uncaught exceptions' && !hearsErrors && /^\[?(PoolBroken|Protocol)Error/.test(what);
    },
  },
  {
    id: 'A4',
    what: 'a pool that breaks says so several times, with workers that it has killed itself',
    tolerates: ({ rule }) => rule === 'one PoolBrokenError',
  },
  {
    id: 'C1',
    what: 'objects like an AbortSignal whose methods are missing or throw',
    skips: (_, { options }) => ['deaf', 'stubborn', 'refusing'].includes(options?.signal),
  },
  {
    id: 'C4',
    what: 'resize() and reload() of a pool that was never started are not settled by its end',
    skips: ({ pool }, { call }) => {
      const { tasks, workers } = pool.stats();
      return ['resize', 'reload'].includes(call) && tasks.accepted === 0 && workers.length === 0;
    },
  },
  {
    id: 'C6',
    what: 'a worker may answer its own task in the name of another one',
    skips: (_, { deed }) => deed === 'forged',
  },
];

/** Whether what is known counts as well. */
const STRICT = 'BULKHEAD_API_STRICT';
const known = () => (process.env[STRICT] === '1' ? [] : KNOWN);

/** In this process and in those that it starts. */
export function beStrict() {
  process.env[STRICT] = '1';
}

/**
 * Whether a call is left out, as what comes of it is known.
 *
 * @param {import('./world.mjs').World} world
 * @param {import('./plan.mjs').Call} call
 */
export function skipped(world, call) {
  return known().some(({ skips }) => skips?.(world, call) ?? false);
}

/**
 * Whether what went wrong is known to.
 *
 * @param {{ rule: string, what: string }} violation
 * @param {import('./plan.mjs').Plan} plan
 */
export function tolerated(violation, plan) {
  return known().some(({ tolerates }) => tolerates?.(violation, plan) ?? false);
}
