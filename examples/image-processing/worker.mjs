// What runs in the worker processes.

import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import sharp from 'sharp';

/**
 * @typedef {object} Image what to make of which picture: the `data` of a task
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
  // There is a worker for each core already: no threads on top of that.
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
