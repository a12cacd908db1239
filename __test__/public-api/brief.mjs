import { inspect } from 'node:util';

/**
 * A value in a line.
 *
 * @param {any} value
 */
export function brief(value) {
  if (value instanceof Error) {
    const { code, maybeExecuted, taskId } = /** @type {any} */ (value);
    const about = inspect({ code, taskId, maybeExecuted }, { breakLength: Infinity });
    return `${value.name}: ${value.message.slice(0, 160)} ${about}`;
  }
  return inspect(value, {
    depth: 2,
    breakLength: Infinity,
    maxStringLength: 60,
    maxArrayLength: 6,
  });
}
