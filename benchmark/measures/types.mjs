// Types only.

/**
 * @typedef {import('../pools/catalogue.mjs').Pool} Pool
 * @typedef {Record<string, number | string>} Figures results of one run in one process; `wrong`
 *   counts wrong results
 * @typedef {object} Bench the input of a measure
 * @property {string} name of the pool
 * @property {number} workers
 * @property {boolean} quick whether to measure for a shorter time
 * @property {(handler: string, options?: { workers?: number, isolate?: boolean }) => Promise<Pool>}
 *   open opens the pool with the handler of that name in workers/handlers/
 * @typedef {object} Column
 * @property {string} title
 * @property {string} key of the figure
 * @property {boolean} [ratio] to the baseline, round by round
 * @property {(value: number) => string} [format] default: as text
 * @typedef {object} Goal
 * @property {string} says description of the comparison
 * @property {string} key
 * @property {number} [atLeast]
 * @property {number} [atMost]
 * @property {string[]} [over] ratio to these pools, round by round; otherwise the figure itself. Of
 *   several, the one that is hardest to beat decides
 * @property {string} [overName] of several
 * @property {string} [subject] default: bulkhead
 * @property {(value: number) => string} [format]
 * @typedef {object} Measure
 * @property {string} title
 * @property {string} about how it is measured, one or two sentences
 * @property {string[]} pools to measure, in the order of the table
 * @property {string} [baseline] of the ratios; default: fork-json
 * @property {Column[]} columns
 * @property {Goal[]} [goals]
 * @property {number} [limit] time limit of a run (s)
 * @property {string[]} [flags] flags for node; some pools pass them on to their workers, so set
 *   only necessary ones
 * @property {boolean} [pinned] to one core
 * @property {boolean} [ownBenchmark] a peer's own benchmark
 * @property {boolean} [long] only with --all, or on request
 * @property {boolean} [quick] part of a --quick run
 * @property {(bench: Bench) => Promise<Figures>} run in a fresh process
 */

export {};
