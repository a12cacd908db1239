import { fileURLToPath } from 'node:url';

/** @param {string} name of a file in workers/ */
export const workerPath = (name) => fileURLToPath(new URL(`../workers/${name}`, import.meta.url));
