import { readdirSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { megabytes } from './support.mjs';

const root = fileURLToPath(new URL('../../', import.meta.url));

/** @type {import('./types.mjs').Measure} */
export const addon = {
  title: 'Size of the addon',
  about: 'The compiled file, as it is shipped.',
  pools: ['bulkhead'],
  columns: [{ title: 'MB', key: 'bytes', format: megabytes }],
  goals: [{ says: 'MB', key: 'bytes', atMost: 2e6, format: megabytes }],
  quick: true,
  async run() {
    const files = readdirSync(root).filter((file) => file.endsWith('.node'));
    const bytes = Math.max(...files.map((file) => statSync(root + file).size));
    return { wrong: 0, bytes };
  },
};
