// Reads the files in which processes write down what they do, line by line, until they are killed.

import { readFileSync } from 'node:fs';

/**
 * Returns the whole lines of a file. Text behind the last line break is no line. The kernel writes
 * page by page, and stops between two pages in a process that is killed. So `start 30501 1` may end
 * as `start 305`, which looks like another task's.
 *
 * @param {string} path
 */
export function wholeLines(path) {
  return readFileSync(path, 'utf8').split('\n').slice(0, -1);
}
