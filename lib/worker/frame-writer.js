'use strict';

// Turns results, errors and messages of a worker into frames of the protocol.

const { encode, prepareAdvanced } = require('../codec/serialize');
const { MessageTooLargeError } = require('../errors/classes');
const { toWire } = require('../errors/to-wire');
const { isEnvelope } = require('./envelope');
const { byteLength, join, stringify } = require('./intrinsics');
const { RESULT, VERSION } = require('./native-port');

class FrameWriter {
  #channel;
  #serialization;
  #limit;

  /**
   * @param {import('./channel').Channel} channel
   * @param {Pick<import('./frames').InitFrame, 'serialization' | 'maxMessageSize'>} init
   */
  constructor(channel, { serialization, maxMessageSize }) {
    if (serialization === 'advanced') prepareAdvanced();
    this.#channel = channel;
    this.#serialization = serialization;
    this.#limit = maxMessageSize;
  }

  /**
   * Ends a task with a value. Never throws: if the value cannot be sent, the task fails with the
   * reason.
   *
   * @param {number} id of the attempt
   * @param {number} elapsed µs
   * @param {unknown} value
   * @param {boolean} duringUserCode user code continues
   */
  result(id, elapsed, value, duringUserCode) {
    let encoded;
    let envelope;
    try {
      encoded = this.#encode(value, 'result');
      envelope = isEnvelope(value);
    } catch (reason) {
      this.error(id, elapsed, reason, duringUserCode);
      return;
    }
    const { json, blobs, encoding } = encoded;
    if (blobs === null && !(envelope && encoding !== null)) {
      const kind = encoded.undefined
        ? RESULT.UNDEFINED
        : envelope
          ? RESULT.ENVELOPE
          : encoding === null
            ? RESULT.VALUE
            : RESULT.V8;
      this.#channel.result(id, elapsed, kind, json, duringUserCode);
      return;
    }
    this.#write(
      `{"type":"result","id":${id},"elapsed":${elapsed}${envelope ? ',"envelope":true' : ''}`,
      'result',
      encoded,
    );
  }

  /**
   * Ends a task with an error. Never throws.
   *
   * @param {number} id of the attempt
   * @param {number} elapsed µs
   * @param {unknown} thrown
   * @param {boolean} duringUserCode user code continues
   */
  error(id, elapsed, thrown, duringUserCode) {
    const error = this.#wireError(thrown, this.#serialization === 'advanced');
    this.#channel.batch(`{"type":"error","id":${id},"elapsed":${elapsed},"error":${error}}\n`);
    if (duringUserCode) this.#channel.journal();
  }

  /**
   * Sends a progress report.
   *
   * @param {number} id of the attempt
   * @param {unknown} value
   * @throws the reason why `value` cannot be sent
   */
  progress(id, value) {
    this.#write(`{"type":"progress","id":${id}`, 'value', this.#encode(value, 'progress'));
  }

  /**
   * Sends one chunk of a streamed task. User code continues, so the chunk is batched and leaves
   * within a millisecond.
   *
   * @param {number} id of the attempt
   * @param {number} index number of the chunk, from 0
   * @param {unknown} value
   * @throws the reason why `value` cannot be sent
   */
  chunk(id, index, value) {
    const head = `{"type":"chunk","id":${id},"index":${index}`;
    const encoded = this.#encode(value, 'chunk');
    if (encoded.blobs !== null) return this.#writeWithBytes(head, 'value', encoded, encoded.blobs);
    this.#channel.batch(line(head, 'value', encoded));
    this.#channel.journal();
  }

  /** Sends all batched lines. */
  flush() {
    this.#channel.flush();
  }

  /**
   * Sends a message to the pool's user.
   *
   * @param {unknown} message
   * @throws the reason why `message` cannot be sent
   */
  message(message) {
    this.#write('{"type":"message"', 'message', this.#encode(message, 'message'));
  }

  /**
   * Reports that the worker is ready.
   *
   * @param {boolean} page whether the worker claims its tasks
   * @param {boolean} shares whether large raw bytes go through shared memory
   */
  ready(page, shares) {
    this.#channel.write(
      `{"type":"ready","version":${VERSION},"page":${page},"shares":${shares}}\n`,
    );
  }

  /**
   * Reports that the worker cannot start.
   *
   * @param {unknown} thrown
   * @param {boolean} permanent a retry cannot help
   */
  fail(thrown, permanent) {
    this.#channel.write(
      `{"type":"fail","permanent":${permanent},"error":${this.#wireError(thrown, false)}}\n`,
    );
  }

  /**
   * Writes a frame at once: a progress report is useless after the end of a long handler.
   *
   * @param {string} head
   * @param {string} key
   * @param {Encoded} encoded
   */
  #write(head, key, encoded) {
    if (encoded.blobs === null) this.#channel.write(line(head, key, encoded));
    else this.#writeWithBytes(head, key, encoded, encoded.blobs);
  }

  /**
   * @param {string} head
   * @param {string} key
   * @param {Encoded} encoded
   * @param {Uint8Array[]} blobs of `encoded`
   */
  #writeWithBytes(head, key, encoded, blobs) {
    this.#channel.writeWithBytes(
      (shared) => lineWithBytes(head, key, encoded, blobs, shared),
      blobs,
    );
  }

  /**
   * @param {unknown} value
   * @param {string} what name of the value in messages
   * @returns {Encoded}
   */
  #encode(value, what) {
    const encoded = encode(value, this.#serialization, what, true, this.#limit);
    // A UTF-16 unit is at most three bytes of UTF-8, so almost every payload is known to fit
    // uncounted.
    if (encoded.blobs !== null || encoded.json.length * 3 > this.#limit) {
      const blobs = encoded.blobs ?? [];
      let size = byteLength(encoded.json);
      for (let i = 0; i < blobs.length; i++) size += blobs[i].byteLength;
      if (size > this.#limit) {
        const message = `the ${what} has ${size} bytes, maxMessageSize is ${this.#limit}`;
        throw new MessageTooLargeError(message, { size, limit: this.#limit });
      }
    }
    return encoded;
  }

  /**
   * @param {unknown} thrown
   * @param {boolean} advanced whether the error may have values in V8's format
   * @returns {string} JSON of a wire error that fits into a message
   */
  #wireError(thrown, advanced) {
    try {
      const json = stringify(toWire(thrown, advanced));
      if (json.length * 3 <= this.#limit || byteLength(json) <= this.#limit) return json;
      return minimalError(
        `the handler threw an error of ${byteLength(json)} bytes, more than maxMessageSize`,
      );
    } catch (reason) {
      return minimalError(`the handler threw a value that cannot be sent: ${describe(reason)}`);
    }
  }
}

/** @typedef {import('../codec/serialize').Encoded} Encoded */

/**
 * @param {string} head
 * @param {string} key
 * @param {Encoded} encoded
 */
function line(head, key, encoded) {
  if (encoded.undefined) return `${head}}\n`;
  return `${head}${encoded.encoding === null ? '' : `,"encoding":"${encoded.encoding}"`},"${key}":${encoded.json}}\n`;
}

/**
 * @param {string} head
 * @param {string} key
 * @param {Encoded} encoded
 * @param {Uint8Array[]} blobs of the value
 * @param {number} shared their offset in the shared memory; -1: they follow the line
 */
function lineWithBytes(head, key, { json, binary, encoding }, blobs, shared) {
  const bytes = [];
  for (let i = 0; i < blobs.length; i++) bytes[i] = blobs[i].byteLength;
  const binaryField = binary === null ? '' : `,"binary":${stringify(binary)}`;
  const encodingField = encoding === null ? '' : `,"encoding":"${encoding}"`;
  const sharedField = shared < 0 ? '' : `,"shared":${shared}`;
  return `${head},"bytes":[${join(bytes, ',')}]${sharedField}${binaryField}${encodingField},"${key}":${json}}\n`;
}

/** @param {string} message */
function minimalError(message) {
  return stringify({ name: 'Error', class: 'Error', message });
}

/** @param {unknown} thrown */
function describe(thrown) {
  try {
    return String(thrown);
  } catch {
    // Its toString throws as well, so there is no text.
    return 'a value without a string form';
  }
}

module.exports = { FrameWriter };
