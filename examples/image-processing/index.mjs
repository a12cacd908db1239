// Image processing: creates thumbnails of every picture in a folder with sharp, in one process for
// each core.
//
//   node examples/image-processing/index.mjs [folder] [--output thumbnails] [--size 320 --size 640] [--workers 4]
//
// Without a folder, the example uses the photographs in the npm packages material-kit and
// paper-kit-2.

import { readdirSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, extname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import ProcessManager from 'bulkhead';
import { startProgress } from '../progress.mjs';

/** @typedef {import('./worker.mjs').Image} Image */

const extensions = new Set(['.avif', '.gif', '.jpeg', '.jpg', '.png', '.tif', '.tiff', '.webp']);
const require = createRequire(import.meta.url);

/** Folders with photographs, and the names of their thumbnails' folders in the output. */
export const shippedPictures = ['material-kit', 'paper-kit-2'].map((name) => ({
  name,
  folder: join(dirname(require.resolve(`${name}/package.json`)), 'assets/img'),
}));

/**
 * @param {string} folder
 * @returns {string[]} paths of the pictures in it and in the folders below
 */
export function listPictures(folder) {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && extensions.has(extname(entry.name).toLowerCase()))
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
    .sort();
}

/**
 * Creates one task for each picture and size.
 *
 * @param {{ name: string, folder: string }[]} sets
 * @param {string} output
 * @param {number[]} sizes
 */
export function makeTasks(sets, output, sizes) {
  const images = sets.flatMap(({ name, folder }) =>
    listPictures(folder).flatMap((source) =>
      sizes.map((size) => {
        const target = join(output, name, `${relative(folder, source)}.${size}.webp`);
        return /** @type {Image} */ ({ source, target, size });
      }),
    ),
  );
  return images.map((image, index) => ({ id: index, type: 'image-processing', data: image }));
}

/**
 * @param {object} [options]
 * @param {string} [options.folder] default: `shippedPictures`
 * @param {string} [options.output] default: `thumbnails` in the current folder
 * @param {number[]} [options.sizes] longest sides in pixels, default: 320
 * @param {number} [options.workers] default: one for each core
 * @returns {Promise<{ made: import('./worker.mjs').Thumbnail[], failed: number }>}
 */
export async function main(options = {}) {
  const sets =
    options.folder === undefined
      ? shippedPictures
      : [{ name: '.', folder: resolve(options.folder) }];
  const output = resolve(options.output ?? 'thumbnails');
  const tasks = makeTasks(sets, output, options.sizes ?? [320]);

  const workers = options.workers && { minWorkers: options.workers, maxWorkers: options.workers };
  const pool = new ProcessManager({ worker: new URL('./worker.mjs', import.meta.url), ...workers });

  /** @type {import('./worker.mjs').Thumbnail[]} */
  const made = [];
  /** @type {Map<number, number>} */
  const tasksOf = new Map();
  let failed = 0;

  const progress = startProgress('thumbnails', tasks.length);
  pool.on('result', ({ result, processedBy }) => {
    made.push(result);
    tasksOf.set(processedBy, (tasksOf.get(processedBy) ?? 0) + 1);
    progress.update(made.length + failed);
  });
  pool.on('error', (error) => {
    if (error.taskId === undefined) return; // the pool's own: startWorkers() rejects with it
    failed++;
    console.error(`\n${tasks[Number(error.taskId)].data.source}: ${error.message}`);
    progress.update(made.length + failed);
  });

  await pool.startWorkers();
  const started = performance.now();
  tasks.forEach((task) => {
    pool.distributeTask(task);
  });
  await pool.shutdown(); // finishes every task before it stops the workers
  progress.end();

  const seconds = (performance.now() - started) / 1000;
  const bytesIn = tasks.reduce((sum, task) => sum + statSync(task.data.source).size, 0);
  const bytesOut = made.reduce((sum, thumbnail) => sum + thumbnail.bytes, 0);
  console.log(
    `${made.length} thumbnails in ${seconds.toFixed(2)} s, ${(tasks.length / seconds).toFixed(1)} per second`,
  );
  console.log(
    `${megabytes(bytesIn)} of pictures read, ${megabytes(bytesOut)} of thumbnails written to ${output}`,
  );
  for (const [pid, count] of tasksOf) console.log(`  worker ${pid} made ${count}`);
  if (failed > 0) console.log(`${failed} could not be made`);
  return { made, failed };
}

/** @param {number} bytes */
function megabytes(bytes) {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { positionals, values } = parseArgs({
    allowPositionals: true,
    options: {
      output: { type: 'string' },
      size: { type: 'string', multiple: true },
      workers: { type: 'string' },
    },
  });
  const { failed } = await main({
    folder: positionals[0],
    output: values.output,
    sizes: values.size?.map(Number),
    workers: values.workers === undefined ? undefined : Number(values.workers),
  });
  process.exitCode = failed === 0 ? 0 : 1;
}
