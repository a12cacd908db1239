// A value as text that differs if anything about the value differs: types, classes, identity,
// holes, zeros, bytes, hidden fields of errors. It is the same in tests and in their workers.

/**
 * @param {any} value
 * @param {object} [options]
 * @param {boolean} [options.arrived] it has come over the channel, and so its views have memory of their own
 * @param {boolean} [options.identity] false: as if what is there twice were there in two copies
 */
export function digest(value, { arrived = false, identity = true } = {}) {
  const seen = new Map();
  const list = (items) => items.join(', ');

  const visit = (item) => {
    if (typeof item === 'string') return JSON.stringify(item);
    if (typeof item === 'bigint') return `${item}n`;
    if (Object.is(item, -0)) return '-0';
    if (typeof item === 'function') return 'a function';
    if (typeof item !== 'object' || item === null) return String(item);
    if (identity && seen.has(item)) return `#${seen.get(item)}`;
    seen.set(item, seen.size);
    return `${classOf(item)} ${content(item)}`;
  };
  const classOf = (item) => {
    const prototype = Object.getPrototypeOf(item);
    return prototype === null ? 'null' : prototype.constructor.name;
  };
  const properties = (item, keys = Object.keys(item)) => {
    return `{ ${list(keys.map((key) => `${JSON.stringify(key)}: ${visit(item[key])}`))} }`;
  };
  const content = (item) => {
    if (item instanceof Error) {
      const hidden = Object.getOwnPropertyNames(item).filter(
        (key) => !Object.keys(item).includes(key),
      );
      return `${item.name}: ${item.message} ${properties(item, hidden.sort())} ${properties(item, Object.keys(item).sort())}`;
    }
    if (ArrayBuffer.isView(item)) {
      const { buffer, byteOffset, byteLength } = item;
      if (arrived && (byteOffset !== 0 || buffer.byteLength !== byteLength)) {
        return `${byteLength} bytes from ${byteOffset} of ${buffer.byteLength}`;
      }
      return hex(new Uint8Array(buffer, byteOffset, byteLength));
    }
    if (item instanceof ArrayBuffer)
      return `${item.resizable ? `of ${item.maxByteLength} ` : ''}${hex(new Uint8Array(item))}`;
    if (item instanceof Date) return String(item.getTime());
    if (item instanceof RegExp) return `${item} ${item.lastIndex}`;
    if (item instanceof Map)
      return `(${list([...item].map(([key, value]) => `${visit(key)} => ${visit(value)}`))})`;
    if (item instanceof Set) return `(${list([...item].map(visit))})`;
    if (Array.isArray(item)) return `of ${item.length} ${properties(item)}`;
    if (
      item instanceof String ||
      item instanceof Number ||
      item instanceof Boolean ||
      item instanceof BigInt
    ) {
      return `(${visit(item.valueOf())})`;
    }
    return properties(item);
  };
  return visit(value);
}

/** @param {Uint8Array} bytes */
function hex(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
