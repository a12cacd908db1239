// The code that runs in the worker processes of the demo.

import { bootstrap } from './bootstrap.mjs';

export const handlers = {
  /** @param {{ data: import('./bootstrap.mjs').Sample }} task */
  bootstrap: (task) => bootstrap(task.data),
};
