'use strict';

// Turns what a worker has to say into lines of the protocol.

const { Buffer } = require('node:buffer');
const { MessageTooLargeError } = require('../errors');
const { encode } = require('../serialize');
const { toWire } = require('../wire-errors');
const { hasOwn, stringify } = require('./intrinsics');

class Replies {
  #channel;
  #serialization;
  #limit;

  /**
   * @param {import('./channel').Channel} channel
   * @param {{ serialization: 'json' | 'advanced', maxMessageSize: number }} init
   */
  constructor(channel, { serialization, maxMessageSize }) {
    this.#channel = channel;
    this.#serialization = serialization;
    this.#limit = maxMessageSize;
  }

  /** The task has ended with `value`. Never throws: what cannot be sent ends the task with the reason instead. */
  result(id, elapsed, value) {
    let encoded;
    let head;
    try {
      encoded = this.#encode(value, 'result');
      head = isEnvelope(value)
        ? `{"type":"result","id":${id},"elapsed":${elapsed},"envelope":true`
        : `{"type":"result","id":${id},"elapsed":${elapsed}`;
    } catch (reason) {
      this.error(id, elapsed, reason);
      return;
    }
    if (encoded.blobs === null) {
      this.#channel.reply(encoded.undefined ? `${head}}\n` : `${head},"result":${encoded.json}}\n`);
    } else {
      this.#channel.sayWith(withBytes(head, 'result', encoded), encoded.blobs);
    }
  }

  /** The task has ended with `thrown`. Never throws. */
  error(id, elapsed, thrown) {
    this.#channel.reply(`{"type":"error","id":${id},"elapsed":${elapsed},"error":${this.#wireError(thrown)}}\n`);
  }

  /** @throws what says why `value` cannot be sent */
  progress(id, value) {
    this.#say(`{"type":"progress","id":${id}`, 'value', value);
  }

  /** @throws what says why `message` cannot be sent */
  message(message) {
    this.#say('{"type":"message"', 'message', message);
  }

  ready(page) {
    this.#channel.say(`{"type":"ready","version":1,"page":${page}}\n`);
  }

  /** The worker cannot start. `permanent`: trying again cannot help. */
  fail(thrown, permanent) {
    this.#channel.say(`{"type":"fail","permanent":${permanent},"error":${this.#wireError(thrown)}}\n`);
  }

  // These are written at once: a progress report that waits for the end of a long handler is none.
  #say(head, key, value) {
    const encoded = this.#encode(value, key === 'value' ? 'progress' : key);
    if (encoded.blobs !== null) {
      this.#channel.sayWith(withBytes(head, key, encoded), encoded.blobs);
    } else {
      this.#channel.say(encoded.undefined ? `${head}}\n` : `${head},"${key}":${encoded.json}}\n`);
    }
  }

  #encode(value, what) {
    const encoded = encode(value, this.#serialization, what);
    // A UTF-16 unit is at most three bytes of UTF-8, so that nearly every payload is known to fit without counting.
    if (encoded.blobs !== null || encoded.json.length * 3 > this.#limit) {
      let size = Buffer.byteLength(encoded.json);
      for (const blob of encoded.blobs ?? []) size += blob.byteLength;
      if (size > this.#limit) throw tooLarge(what, size, this.#limit);
    }
    return encoded;
  }

  /** @returns {string} JSON of a wire error that fits into a message, whatever was thrown */
  #wireError(thrown) {
    try {
      const json = stringify(toWire(thrown));
      if (json.length * 3 <= this.#limit || Buffer.byteLength(json) <= this.#limit) return json;
      return minimalError(`the task has thrown an error of ${Buffer.byteLength(json)} bytes, more than maxMessageSize`);
    } catch (reason) {
      return minimalError(`the task has thrown something that cannot be sent: ${describe(reason)}`);
    }
  }
}

/** The seed's form of a result: exactly these three keys, so that a plain result is never taken for one. */
function isEnvelope(value) {
  return (
    typeof value === 'object' &&
    value !== null &&
    hasOwn(value, 'processedBy') &&
    hasOwn(value, 'taskId') &&
    hasOwn(value, 'result') &&
    Object.keys(value).length === 3
  );
}

function withBytes(head, key, { json, blobs, binary, encoding }) {
  const bytes = blobs.map((blob) => blob.byteLength).join();
  const places = binary === null ? '' : `,"binary":${stringify(binary)}`;
  const how = encoding === null ? '' : `,"encoding":"${encoding}"`;
  return `${head},"bytes":[${bytes}]${places}${how},"${key}":${json}}\n`;
}

function tooLarge(what, size, limit) {
  return new MessageTooLargeError(`the ${what} has ${size} bytes, maxMessageSize is ${limit}`, { size, limit });
}

function minimalError(message) {
  return stringify({ name: 'Error', class: 'Error', message });
}

function describe(thrown) {
  try {
    return String(thrown);
  } catch {
    // Even its toString throws. That it was thrown is all there is to say.
    return 'a value without a string form';
  }
}

module.exports = { Replies };
