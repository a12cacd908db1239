// A worker that speaks the protocol by itself. It knows the numbers of its tasks and can lie about
// them.

import { writeSync } from 'node:fs';
import net from 'node:net';
import { worker } from './deeds.mjs';

const CHANNEL = 3;
const { born, perform, said } = worker(process.argv[2]);
/** Numbers of the tasks that this process was given, and whether it has answered them. */
const given = new Map();
const nap = new Int32Array(new SharedArrayBuffer(4));

function write(bytes) {
  let left = bytes;
  while (left.length > 0) {
    try {
      left = left.subarray(writeSync(CHANNEL, left));
    } catch (error) {
      if (error.code !== 'EAGAIN') throw error;
      Atomics.wait(nap, 0, 0, 1);
    }
  }
}

function say(frame, ...chunks) {
  write(Buffer.concat([Buffer.from(`${JSON.stringify(frame)}\n`), ...chunks]));
}

function answer(id, value) {
  given.set(id, true);
  if (!(value instanceof Uint8Array)) return say({ type: 'result', id, result: value });
  return say(
    { bytes: [value.length], type: 'result', id, binary: [['Buffer', []]], result: null },
    value,
  );
}

function refuse(id, { name, message, code, mark }) {
  given.set(id, true);
  say({ type: 'error', id, error: { name, message, class: name, code, fields: { mark } } });
}

/**
 * Returns a number that is not this worker's, and that another worker may have: the next lower one
 * that it was not given. A higher one may be in its channel.
 */
function foreign(id) {
  let near = id - 1;
  while (given.has(near)) near -= 1;
  return near;
}

function run({ id, attempt = 1, task }) {
  given.set(id, false);
  let twice = false;
  // Answers the task of another worker. The supervisor ignores all later frames.
  const lie = (deed) => {
    if (deed === 'twice') twice = true;
    else if (deed === 'foreign') answer(foreign(id), 'a lie');
    else answer([...given].find(([, answered]) => answered)?.[0] ?? 0, 'a lie');
  };
  const done = (value) => {
    answer(id, value);
    said(task.data.id, attempt);
    if (twice) answer(id, value);
  };
  try {
    const value = perform(task, { attempt, lie });
    if (typeof value?.then !== 'function') return done(value);
    return value.then(done, (error) => refuse(id, error));
  } catch (error) {
    return refuse(id, error);
  }
}

let input = Buffer.alloc(0);

/** Takes a whole frame off the input. */
function take() {
  const end = input.indexOf(10);
  if (end < 0) return undefined;
  const frame = JSON.parse(input.toString('utf8', 0, end));
  const sizes = frame.bytes ?? [];
  let at = end + 1;
  if (input.length < at + sizes.reduce((sum, size) => sum + size, 0)) return undefined;
  sizes.forEach((size, index) => {
    const path = frame.binary[index][1];
    const holder = path.slice(0, -1).reduce((value, key) => value[key], frame.task);
    holder[path.at(-1)] = Buffer.from(input.subarray(at, at + size));
    at += size;
  });
  input = input.subarray(at);
  return frame;
}

function handle(frame) {
  if (frame.type === 'init') {
    born({ claims: false });
    say({ type: 'ready', version: 1 });
  } else if (frame.type === 'stop') {
    process.exit(0);
  } else if (frame.type === 'task') {
    run(frame);
  }
}

new net.Socket({ fd: CHANNEL, readable: true, writable: true, allowHalfOpen: true })
  .on('data', (bytes) => {
    input = Buffer.concat([input, bytes]);
    for (let frame = take(); frame !== undefined; frame = take()) handle(frame);
  })
  .on('end', () => process.exit(0))
  .on('error', () => process.exit(0));
