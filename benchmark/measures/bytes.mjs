// Recovers a Buffer from the forms in which pools return it.

/**
 * @param {any} value
 * @returns {Buffer | undefined} the bytes, whichever form they came back in
 */
export function asBytes(value) {
  if (value instanceof Uint8Array)
    return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  if (Array.isArray(value?.data)) return Buffer.from(value.data); // as JSON
  if (typeof value === 'object' && value !== null) return Buffer.from(Object.values(value));
  return undefined;
}

/** @param {any} value */
export function typeName(value) {
  if (typeof value !== 'object' || value === null) return typeof value;
  return Array.isArray(value.data) ? '{ type, data: [] }' : value.constructor.name;
}
