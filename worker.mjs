// See worker.js.
import worker from './worker.js';

export const { isWorker } = worker;
