'use strict';

// Turns what a worker has to say into lines of the protocol.

const { encode, prepareAdvanced } = require('../codec/serialize');
const { MessageTooLargeError } = require('../errors/classes');
const { toWire } = require('../errors/to-wire');
const { isEnvelope } = require('./envelope');
const { byteLength, join, stringify } = require('./intrinsics');
const { ENVELOPE, UNDEFINED, V8, VALUE } = require('./result-kinds');

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
   * The task has ended with `value`. Never throws: what cannot be sent ends the task with the
   * reason instead.
   *
   * @param {number} id
   * @param {number} elapsed µs
   * @param {unknown} value
   * @param {boolean} duringUserCode user code goes on
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
        ? UNDEFINED
        : envelope
          ? ENVELOPE
          : encoding === null
            ? VALUE
            : V8;
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
   * The task has ended with `thrown`. Never throws.
   *
   * @param {number} id
   * @param {number} elapsed µs
   * @param {unknown} thrown
   * @param {boolean} duringUserCode user code goes on
   */
  error(id, elapsed, thrown, duringUserCode) {
    const error = this.#wireError(thrown, this.#serialization === 'advanced');
    this.#channel.batch(`{"type":"error","id":${id},"elapsed":${elapsed},"error":${error}}\n`);
    if (duringUserCode) this.#channel.journal();
  }

  /**
   * @param {number} id
   * @param {unknown} value
   * @throws what says why `value` cannot be sent
   */
  progress(id, value) {
    this.#write(`{"type":"progress","id":${id}`, 'value', this.#encode(value, 'progress'));
  }

  /**
   * One of several values of a task. Written with others, and within a millisecond: user code goes
   * on.
   *
   * @param {number} id
   * @param {number} index how many came before it
   * @param {unknown} value
   * @throws what says why `value` cannot be sent
   */
  chunk(id, index, value) {
    const head = `{"type":"chunk","id":${id},"index":${index}`;
    const encoded = this.#encode(value, 'chunk');
    if (encoded.blobs !== null) return this.#writeWithBytes(head, 'value', encoded, encoded.blobs);
    this.#channel.batch(line(head, 'value', encoded));
    this.#channel.journal();
  }

  /** What was said is to be heard now. */
  flush() {
    this.#channel.flush();
  }

  /**
   * @param {unknown} message
   * @throws what says why it cannot be sent
   */
  message(message) {
    this.#write('{"type":"message"', 'message', this.#encode(message, 'message'));
  }

  /**
   * @param {boolean} page whether tasks are claimed
   * @param {boolean} shares whether large raw bytes go through shared memory
   */
  ready(page, shares) {
    this.#channel.write(`{"type":"ready","version":1,"page":${page},"shares":${shares}}\n`);
  }

  /**
   * The worker cannot start.
   *
   * @param {unknown} thrown
   * @param {boolean} permanent trying again cannot help
   */
  fail(thrown, permanent) {
    this.#channel.write(
      `{"type":"fail","permanent":${permanent},"error":${this.#wireError(thrown, false)}}\n`,
    );
  }

  /**
   * These are written at once: a progress report that waits for the end of a long handler is none.
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
   * @param {Uint8Array[]} blobs its own
   */
  #writeWithBytes(head, key, encoded, blobs) {
    this.#channel.writeWithBytes(
      (shared) => lineWithBytes(head, key, encoded, blobs, shared),
      blobs,
    );
  }

  /**
   * @param {unknown} value
   * @param {string} what it is
   * @returns {Encoded}
   */
  #encode(value, what) {
    const encoded = encode(value, this.#serialization, what, true, this.#limit);
    // A UTF-16 unit is at most three bytes of UTF-8, so nearly every payload is known to fit
    // without counting.
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
   * @param {boolean} advanced whether it may have values in V8's format
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
      return minimalError(`the handler threw what cannot be sent: ${describe(reason)}`);
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
 * @param {Uint8Array[]} blobs its own
 * @param {number} shared where they are in the shared memory; -1: behind the line
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
    // Even its toString throws. That it was thrown is all there is to say.
    return 'a value without a string form';
  }
}

module.exports = { FrameWriter };
