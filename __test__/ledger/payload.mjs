// The payloads of the ledger's tasks, and the proof that they arrived unchanged.

import { createHash } from 'node:crypto';
import { Random } from './random.mjs';

export const LARGEST = 2 * 1024 * 1024;
export const FORMS = ['text', 'binary', 'tree'];

// Quotes, newlines, characters of two, three and four bytes, and half a surrogate pair, for the
// mistakes of any encoder.
const ALPHABET = [
  ...'abcdefghijklmnopqrstuvwxyz0123456789 {}[]:,',
  '"',
  '\\',
  '\n',
  '\u0000',
  'é',
  '→',
  '😀',
  '\ud800',
];
const random = new Random(1);
const PIECE = Array.from({ length: 4096 }, () => random.pick(ALPHABET)).join('');
const TEXT = PIECE.repeat(Math.ceil((2 * LARGEST) / PIECE.length));
const BYTES = Buffer.from(TEXT.slice(0, LARGEST + PIECE.length), 'latin1');

/** Makes a value of about `size` bytes, chosen by `offset`, below 4096. */
export function make({ form, size, offset }) {
  switch (form) {
    case 'text':
      return TEXT.slice(offset, offset + size);
    case 'binary':
      return BYTES.subarray(offset, offset + size);
    default:
      return {
        size,
        offset,
        list: [null, true, offset / 7, TEXT.slice(offset, offset + size)],
        nested: { form },
      };
  }
}

/** Computes a digest of a value, which is the same on either side. */
export function digest(value) {
  const hash = createHash('sha1');
  if (value instanceof Uint8Array) hash.update('binary').update(value);
  // UTF-16, as a lone surrogate has no UTF-8.
  else hash.update(JSON.stringify(value) ?? 'undefined', 'utf16le');
  return hash.digest('base64url');
}
