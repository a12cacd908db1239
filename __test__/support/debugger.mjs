// A client of Node's debugger, for tests: Node.js 20 has no WebSocket of its own.

import { randomBytes } from 'node:crypto';
import { request } from 'node:http';
import { onTestFinished } from 'vitest';

/**
 * Splits a stream into whole text messages, however they are cut. Node sends no other frames before
 * the end, and masks none.
 */
function messages(onMessage) {
  let bytes = Buffer.alloc(0);
  return (chunk) => {
    bytes = Buffer.concat([bytes, chunk]);
    for (;;) {
      if (bytes.length < 2) return;
      const short = bytes[1] & 0x7f;
      const header = short < 126 ? 2 : short === 126 ? 4 : 10;
      if (bytes.length < header) return;
      const length =
        short < 126
          ? short
          : short === 126
            ? bytes.readUInt16BE(2)
            : Number(bytes.readBigUInt64BE(2));
      if (bytes.length < header + length) return;
      const payload = bytes.subarray(header, header + length);
      if ((bytes[0] & 0x0f) === 1) onMessage(JSON.parse(payload.toString()));
      bytes = bytes.subarray(header + length);
    }
  };
}

function frame(text) {
  const payload = Buffer.from(text);
  if (payload.length > 125) throw new RangeError('a request of a test is short');
  const mask = randomBytes(4);
  return Buffer.concat([
    Buffer.from([0x81, 0x80 | payload.length]),
    mask,
    payload.map((byte, i) => byte ^ mask[i % 4]),
  ]);
}

/**
 * Connects to the debugger with this address, until the test ends or it is closed.
 *
 * @param {string} url `ws://…`
 */
export async function connect(url) {
  const { hostname, port, pathname } = new URL(url);
  const headers = {
    Connection: 'Upgrade',
    Upgrade: 'websocket',
    'Sec-WebSocket-Version': '13',
    'Sec-WebSocket-Key': randomBytes(16).toString('base64'),
  };
  const socket = await new Promise((resolve, reject) => {
    const options = {
      hostname: hostname.replace(/^\[(.*)\]$/, '$1'),
      port,
      path: pathname,
      headers,
    };
    const asked = request(options, (response) =>
      reject(new Error(`no debugger: ${response.statusCode}`)),
    );
    asked
      .on('upgrade', (_, socket) => resolve(socket))
      .on('error', reject)
      .end();
  });
  // A worker that is killed resets the connection.
  socket.on('error', () => {});
  onTestFinished(() => socket.destroy());
  const waiting = new Map();
  const listeners = new Map();
  socket.on(
    'data',
    messages(({ id, method, result, params }) => {
      if (id !== undefined) waiting.get(id)?.(result);
      else listeners.get(method)?.(params);
    }),
  );
  return {
    /** Sends a request, and waits for the answer. */
    ask(method, params = {}) {
      const id = waiting.size + 1;
      const answer = new Promise((resolve) => waiting.set(id, resolve));
      socket.write(frame(JSON.stringify({ id, method, params })));
      return answer;
    },
    /** @param {string} method of an event */
    on(method, listener) {
      listeners.set(method, listener);
    },
    close: () => socket.destroy(),
  };
}
