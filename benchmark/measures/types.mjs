// Types only.

/**
 * @typedef {import('../pools/catalogue.mjs').Pool} Pool
 *
 * @typedef {Record<string, number | string>} Figures of one run in one
 *   process; `wrong` counts wrong results
 *
 * @typedef {object} Bench what a measure gets
 * @property {string} name of the pool
 * @property {number} workers
 * @property {boolean} quick whether a shorter look has to do
 * @property {(handler: string, options?: { workers?: number, isolate?: boolean }) => Promise<Pool>} open opens the pool
 *   with the handler of that name in workers/handlers/
 *
 * @typedef {object} Column
 * @property {string} title
 * @property {string} key of the figure
 * @property {boolean} [ratio] to the baseline, round by round
 * @property {(value: number) => string} [format] default: as text
 *
 * @typedef {object} Goal
 * @property {string} says what is compared, in words
 * @property {string} key
 * @property {number} [atLeast]
 * @property {number} [atMost]
 * @property {string[]} [over] ratio to these pools, round by round; without it, the figure itself.
 *   Of several, the one that is hardest to beat decides
 * @property {string} [overName] of several
 * @property {string} [subject] default: bulkhead
 * @property {(value: number) => string} [format]
 *
 * @typedef {object} Measure
 * @property {string} title
 * @property {string} about how it is measured, one or two sentences
 * @property {string[]} pools that it makes sense for, in the order of the table
 * @property {string} [baseline] of the ratios; default: fork-json
 * @property {Column[]} columns
 * @property {Goal[]} [goals]
 * @property {number} [limit] seconds that a run may take
 * @property {string[]} [flags] for node; some pools pass them on to their workers, so none where
 *   not needed
 * @property {boolean} [pinned] to one core
 * @property {boolean} [ownBenchmark] one of a peer's own
 * @property {boolean} [long] only with --all, or when asked for
 * @property {boolean} [quick] part of a --quick run
 * @property {(bench: Bench) => Promise<Figures>} run in a fresh process
 */

export {};
