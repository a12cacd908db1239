// The code that runs in the worker processes.

import { analyse } from './flights.mjs';

export const handlers = {
  /** @param {{ data: import('./flights.mjs').Shard }} task */
  'data-analysis': (task) => analyse(task.data),
};
