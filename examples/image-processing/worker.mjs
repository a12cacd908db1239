// The code that runs in the worker processes.

import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import sharp from 'sharp';

/**
 * @typedef {object} Image the `data` of a task: one picture and one size
 * @property {string} source path of the picture
 * @property {string} target path of the thumbnail
 * @property {number} size longest side of the thumbnail in pixels
 */

/**
 * @typedef {object} Thumbnail
 * @property {string} target
 * @property {number} width
 * @property {number} height
 * @property {number} bytes
 */

export function setup() {
  // One thread is enough, because each core already has a worker.
  sharp.concurrency(1);
}

export const handlers = {
  /**
   * @param {{ data: Image }} task
   * @returns {Promise<Thumbnail>}
   */
  'image-processing': async ({ data: { source, target, size } }) => {
    await mkdir(dirname(target), { recursive: true });
    const {
      width,
      height,
      size: bytes,
    } = await sharp(source)
      .autoOrient()
      .resize({ width: size, height: size, fit: 'inside', withoutEnlargement: true })
      .webp({ quality: 80 })
      .toFile(target);
    return { target, width, height, bytes };
  },
};
