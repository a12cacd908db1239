'use strict';

// Reads the channel as things arrive on it, whichever way this runtime has for it.

const { Buffer } = require('node:buffer');
const { HOST } = require('../platform/runtime');

const READ_BYTES = 64 * 1024;

/**
 * Puts what arrives into the port, and keeps the process alive for as long as more may come.
 *
 * @param {import('./native-port').Port} port
 * @param {() => void} onBytes bytes were given to the port
 * @param {() => void} onEnd the supervisor has closed its side, or is gone
 * @returns {() => void} to be called once: reads no more, and says goodbye: the supervisor sees the end of the stream
 */
function listen(port, onBytes, onEnd) {
  /** @param {number} status */
  const onReadable = (status) => {
    const n = port.fill();
    if (n > 0) onBytes();
    else if (n < 0 || status < 0) {
      // The way out stays: a reply may be still to come.
      port.stopPolling();
      onEnd();
    }
  };
  // Bun has functions of libuv by their names, each of which ends the process.
  if (HOST !== 'Node.js' || !port.poll(onReadable)) return listenBySocket(port, onBytes, onEnd);
  return () => {
    port.stopPolling();
    port.shut();
  };
}

/**
 * Nothing is written through the socket: the port does that, and blocks. allowHalfOpen, because a
 * socket that ended itself when the supervisor does would take the channel away under a reply that
 * is still to come.
 *
 * @param {import('./native-port').Port} port
 * @param {() => void} onBytes
 * @param {() => void} onEnd
 */
function listenBySocket(port, onBytes, onEnd) {
  // Where it is not needed it is not loaded, which takes a worker two milliseconds.
  const net = require('node:net');
  const socket = open(net, port, onBytes);
  socket.on('end', onEnd);
  // A reset instead of an orderly end: the supervisor died with bytes of ours unread.
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
    // It reads a descriptor that it was given on these terms only.
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
