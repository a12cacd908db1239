// The worker of `pool.mjs`: as little as a task can do.

/** @param {unknown} value */
export default (value) => value;
