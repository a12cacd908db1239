'use strict';

// Reads the channel, by libuv where the addon can, otherwise by a socket.

const { Buffer } = require('node:buffer');
const { HOST } = require('../platform/runtime');

const READ_BYTES = 64 * 1024;

/**
 * Feeds incoming bytes to the port. Keeps the process alive while more bytes may come.
 *
 * @param {import('./native-port').Port} port
 * @param {() => void} onBytes called when the port has new bytes
 * @param {() => void} onEnd called when the supervisor has closed its side or has died
 * @returns {() => void} stops reading and closes this side; to be called once
 */
function listen(port, onBytes, onEnd) {
  /** @param {number} status */
  const onReadable = (status) => {
    const n = port.fill();
    if (n > 0) onBytes();
    else if (n < 0 || status < 0) {
      // Keep the outgoing side open: a reply may still follow.
      port.stopPolling();
      onEnd();
    }
  };
  // Bun exports libuv's functions, but each of them aborts the process.
  if (HOST !== 'Node.js' || !port.poll(onReadable)) return listenBySocket(port, onBytes, onEnd);
  return () => {
    port.stopPolling();
    port.shut();
  };
}

/**
 * Reads by a socket. The port does the writing, and blocks. allowHalfOpen keeps the descriptor open
 * after the supervisor's end of stream, because a reply may still follow.
 *
 * @param {import('./native-port').Port} port
 * @param {() => void} onBytes
 * @param {() => void} onEnd
 */
function listenBySocket(port, onBytes, onEnd) {
  // Loaded only here: it costs a worker two milliseconds.
  const net = require('node:net');
  const socket = open(net, port, onBytes);
  socket.on('end', onEnd);
  // The supervisor died with unread bytes, so the socket was reset.
  socket.on('error', onEnd);
  socket.resume();
  return () => {
    socket.end(() => socket.destroy());
  };
}

/**
 * @param {typeof import('node:net')} net
 * @param {import('./native-port').Port} port
 * @param {() => void} onBytes
 */
function open(net, port, onBytes) {
  const fd = port.descriptor();
  if (HOST === 'Bun') {
    // Bun reads an inherited descriptor only in this way.
    const socket = new net.Socket({ allowHalfOpen: true });
    socket.on('data', (chunk) => {
      port.push(chunk, chunk.length);
      onBytes();
    });
    return socket.connect(/** @type {any} */ ({ fd }));
  }
  const buffer = Buffer.allocUnsafeSlow(READ_BYTES);
  /** @param {number} n */
  const callback = (n) => {
    port.push(buffer, n);
    onBytes();
    return true;
  };
  const options = {
    fd,
    readable: true,
    writable: true,
    allowHalfOpen: true,
    onread: { buffer, callback },
  };
  return new net.Socket(options);
}

module.exports = { listen };
