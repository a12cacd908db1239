'use strict';

// process.send and the related members of `process`, as a script under child_process.fork expects
// them.

const process = require('node:process');
const { nextTick } = require('../clock');
const { OwnSet, assign, defineProperty, emit } = require('./intrinsics');

const SENDABLE = new OwnSet(['string', 'object', 'number', 'boolean']);

class Ipc {
  #channel;
  #writer;
  #onDisconnect;
  /**
   * The program, once loaded. It may take messages as results of its tasks.
   *
   * @type {import('./module-program').Program | null}
   */
  program = null;

  /**
   * @param {import('./channel').Channel} channel
   * @param {import('./frame-writer').FrameWriter} writer
   * @param {() => void} onDisconnect the script has closed the channel
   */
  constructor(channel, writer, onDisconnect) {
    this.#channel = channel;
    this.#writer = writer;
    this.#onDisconnect = onDisconnect;
    define('send', (/** @type {unknown} */ message, /** @type {unknown[]} */ ...rest) =>
      this.#send(message, rest),
    );
    define('disconnect', () => this.#disconnect());
    define('connected', true);
    // The pool alone decides how long a worker lives, so references are not counted.
    define('channel', { ref() {}, unref() {} });
  }

  /**
   * Delivers a message from the pool's user. An exception from a listener is uncaught, as under
   * fork.
   *
   * @param {unknown} message
   */
  receive(message) {
    try {
      emit('message', message, undefined);
    } catch (thrown) {
      nextTick(() => {
        throw thrown;
      });
    }
  }

  /** Tells the script that the channel is closed or about to close. */
  disconnected() {
    if (!process.connected) return;
    define('connected', false);
    define('channel', null);
    emit('disconnect');
  }

  /**
   * @param {unknown} message
   * @param {unknown[]} rest [sendHandle[, options]][, callback]
   */
  #send(message, rest) {
    const handle = rest[0];
    const callback = firstFunction(rest);
    assertSendable(message);
    if (handle !== undefined && handle !== null && handle !== callback) {
      throw coded(TypeError, 'ERR_INVALID_HANDLE_TYPE', 'A bulkhead worker cannot send handles');
    }
    if (!this.#channel.open) {
      const error = coded(Error, 'ERR_IPC_CHANNEL_CLOSED', 'Channel closed');
      nextTick(() => (callback === undefined ? emit('error', error) : callback(error)));
      return false;
    }
    if (!this.program?.accept(message)) this.#writer.message(message);
    if (callback !== undefined) nextTick(() => callback(null));
    return true;
  }

  #disconnect() {
    if (!this.#channel.open) {
      emit('error', coded(Error, 'ERR_IPC_DISCONNECTED', 'IPC channel is already disconnected'));
      return;
    }
    this.#channel.close();
    this.#onDisconnect();
    define('connected', false);
    define('channel', null);
    nextTick(() => emit('disconnect'));
  }
}

/**
 * Throws for a message that cannot be sent, before anything is sent, as under fork.
 *
 * @param {unknown} message
 */
function assertSendable(message) {
  if (message === undefined) {
    throw coded(TypeError, 'ERR_MISSING_ARGS', 'The "message" argument must be specified');
  }
  if (!SENDABLE.has(typeof message)) {
    throw coded(
      TypeError,
      'ERR_INVALID_ARG_TYPE',
      `The "message" argument must be one of type string, object, number, or boolean. Received ${typeof message}`,
    );
  }
}

/**
 * @param {unknown[]} values
 * @returns {((error: Error | null) => void) | undefined}
 */
function firstFunction(values) {
  for (let i = 0; i < values.length; i++) {
    const value = values[i];
    if (typeof value === 'function') return /** @type {any} */ (value);
  }
  return undefined;
}

/**
 * @param {string} name
 * @param {unknown} value
 */
function define(name, value) {
  defineProperty(process, name, { value, configurable: true, enumerable: true, writable: true });
}

/**
 * @param {new (message: string) => Error} Class
 * @param {string} code
 * @param {string} message
 */
function coded(Class, code, message) {
  return assign(new Class(message), { code });
}

module.exports = { Ipc };
