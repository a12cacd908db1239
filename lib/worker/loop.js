'use strict';

// The worker's loop: takes frames, runs tasks, collects replies.
//
//   bytes ─▶ port ─▶ queue ─▶ claim ─▶ handler ─▶ reply ─▶ batch ─▶ one write
//
// A claim tells the supervisor "this one has started", for good: it is made in the order of the
// frames and directly before user code. What is still in the queue may be taken back at any time;
// its claim then fails and it is dropped.
//
// The loop keeps the event loop for about SLICE ms at a time, so that the handlers' own timers and
// I/O live, and holds replies back no longer than that. What it cannot know is that the next task
// will be long; it only knows whether one was lately, and then lets no reply wait for user code.

const { isPromise } = require('node:util/types');
const { nextTick, now, setImmediate } = require('../clock');
const { decode } = require('../codec/serialize');
const { explain } = require('./compile');
const { Task, TaskContext } = require('./context');
const { PENDING } = require('./fork-script');
const {
  OwnMap,
  arrayFrom,
  max,
  onSettled,
  parse,
  promiseOf,
  round,
  toStringTag,
} = require('./intrinsics');
const { Credit, stream } = require('./stream');

/** ms of work between two returns to the event loop. */
const SLICE = 1;
/** ms: where a task has taken longer than this, the next one may. */
const SHORT_TASK = 0.25;
/**
 * How fast that is forgotten: after a task of 100 ms, about 200 short ones are answered one by one.
 */
const DECAY = 0.97;

/** @typedef {import('./frames').TaskFrame} TaskFrame */

/** What there is to a task that has nothing but an id and a payload. @type {TaskFrame} */
const PLAIN = Object.freeze({
  attempt: undefined,
  taskId: undefined,
  handler: undefined,
  filename: undefined,
  exec: undefined,
  stream: undefined,
  trace: undefined,
  call: undefined,
  undefined: undefined,
  bytes: undefined,
  encoding: undefined,
});

class Loop {
  #port;
  #attempts;
  #channel;
  #writer;
  #program;
  #worker;
  #concurrency;
  #claim;
  #onStop;
  #onMessage;
  #inspector;
  /** @type {(() => void) | null} */
  #onIdle = null;

  /** @type {(Task | undefined)[]} */
  #queue = [];
  #head = 0;
  /**
   * Tasks that have not ended although their handler returned, by the id of their attempt.
   *
   * @type {Map<number, Task>}
   */
  #running = new OwnMap();

  #pumping = false;
  /** The slice of this turn: whether one has begun, and when (see `now`) it is used up. */
  #sliceOpen = false;
  #sliceEnd = 0;
  #tickPending = false;
  #immediatePending = false;
  /** When the last task ended, and how many ms the longest lately took, fading. */
  #clock = 0;
  #longest = 0;

  /**
   * @param {object} parts
   * @param {import('./native-port').Port} parts.port
   * @param {Float64Array} parts.attempts which the port writes when something is taken from it
   * @param {import('./channel').Channel} parts.channel
   * @param {import('./frame-writer').FrameWriter} parts.writer
   * @param {import('./module-program').Program} parts.program
   * @param {import('./context').WorkerContext} parts.context
   * @param {number} parts.concurrency tasks that run at a time
   * @param {() => void} parts.onStop the supervisor wants the worker to stop; to be answered with `stop`
   * @param {(message: unknown) => void} parts.onMessage the pool's user says something to this worker
   * @param {import('./inspector').Inspector | null} parts.inspector if the supervisor may have it opened
   */
  constructor({
    port,
    attempts,
    channel,
    writer,
    program,
    context,
    concurrency,
    onStop,
    onMessage,
    inspector,
  }) {
    this.#port = port;
    this.#attempts = attempts;
    this.#channel = channel;
    this.#writer = writer;
    this.#program = program;
    this.#worker = { workerId: context.workerId, writer, context };
    this.#concurrency = concurrency;
    // Asked for once, as a method would look its object up each time.
    this.#claim = port.claimer();
    this.#onStop = onStop;
    this.#onMessage = onMessage;
    this.#inspector = inspector;
  }

  /** Whether user code runs for a task. */
  get busy() {
    return this.#pumping || this.#running.size > 0;
  }

  /** Bytes may be in the port. Called from the event loop, never from a task. */
  readable() {
    this.#sliceOpen = true;
    this.#sliceEnd = now() + SLICE;
    this.#pump();
  }

  /**
   * Starts nothing more.
   *
   * @param {() => void} onIdle called once what runs has ended
   */
  stop(onIdle) {
    this.#onIdle = onIdle;
    this.#queue.length = 0;
    this.#head = 0;
    if (this.#running.size === 0) onIdle();
  }

  #pump() {
    this.#pumping = true;
    try {
      for (;;) {
        this.#readFrames();
        this.#startQueued();
        this.#channel.flush();
        if (now() >= this.#sliceEnd) {
          this.#yieldToEventLoop();
          return;
        }
        // Without room, the end of a task goes on from here. The end of the stream (-1) is seen by
        // `listen` as well.
        if (!this.#hasRoom() || this.#port.fill() <= 0) return;
      }
    } finally {
      this.#pumping = false;
    }
  }

  #hasRoom() {
    return this.#onIdle === null && this.#running.size < this.#concurrency;
  }

  #readFrames() {
    const attempts = this.#attempts;
    for (let text = this.#port.take(); text !== null; text = this.#port.take()) {
      const values = parse(text);
      const queue = this.#queue;
      for (let i = 0; i < values.length; i++) {
        const id = attempts[2 * i];
        if (id > 0) queue[queue.length] = new Task(this, id, attempts[2 * i + 1], PLAIN, values[i]);
        else this.#handleFrame(values[i]);
      }
    }
  }

  /** @param {any} frame any but the plainest */
  #handleFrame(frame) {
    if (frame.type === 'task') {
      // The port cuts a batch behind a frame with raw bytes, so that these are its.
      if (frame.bytes !== undefined) frame.blobs = this.#port.blobs();
      this.#queue[this.#queue.length] = new Task(
        this,
        frame.id,
        frame.epoch ?? 0,
        frame,
        frame.task,
      );
    } else if (frame.type === 'credit') this.#credit(frame);
    else if (frame.type === 'abort') this.#abort(frame);
    else if (frame.type === 'message') {
      const blobs = frame.bytes === undefined ? [] : this.#port.blobs();
      this.#onMessage(decode(frame.message, frame, blobs));
    } else if (frame.type === 'stop') this.#onStop();
  }

  /** @param {import('./frames').CreditFrame} frame */
  #credit({ id, count }) {
    this.#running.get(id)?.credit?.add(count);
  }

  /** @param {import('./frames').AbortFrame} frame */
  #abort({ id, reason }) {
    this.#inspector?.close();
    this.#running.get(id)?.abort(reason);
    // Not started yet: if the supervisor has not taken it back, it starts with its signal aborted.
    for (let i = this.#head; i < this.#queue.length; i++) {
      const task = this.#queue[i];
      if (task?.id === id) task.abort(reason);
    }
  }

  #startQueued() {
    const queue = this.#queue;
    while (this.#head < queue.length && this.#hasRoom()) {
      if (this.#longest > SHORT_TASK) this.#channel.flush();
      const task = queue[this.#head];
      queue[this.#head++] = undefined;
      if (task !== undefined) this.#start(task);
      if (this.#clock >= this.#sliceEnd) break;
    }
    if (this.#head >= queue.length) {
      queue.length = 0;
      this.#head = 0;
    }
  }

  /** @param {Task} task */
  #start(task) {
    // Whatever user code does from here on, what was said before is on its way.
    this.#channel.journal();
    if (this.#claim(task.epoch) === 0) return;
    task.started = now();
    const { frame } = task;
    let value;
    try {
      if (frame.bytes !== undefined || frame.encoding !== undefined) {
        task.payload = decode(task.payload, frame, frame.blobs ?? []);
      }
      if (frame.stream !== undefined) task.credit = new Credit(frame.stream);
      value = this.#program.start(task, new TaskContext(task, this.#worker));
      if (task.credit !== undefined && value !== PENDING)
        value = stream(task, task.credit, value, this.#writer);
      if ((typeof value === 'object' && value !== null) || typeof value === 'function') {
        value = this.#unwrap(task, value);
      }
    } catch (thrown) {
      this.#fail(task, thrown, false);
      return;
    }
    if (value !== PENDING) this.#end(task, value, false);
    else if (!task.settled) this.#running.set(task.id, task);
    // A task that goes on counts for the slice as well, whatever its synchronous part took.
    if (value === PENDING) this.#clock = now();
  }

  /**
   * @param {Task} task
   * @param {any} value no primitive
   * @returns {unknown} the value to answer with, or PENDING when it is still to come
   */
  #unwrap(task, value) {
    if (typeof value.then === 'function') {
      const promise = isPromise(value) ? value : promiseOf(value);
      onSettled(
        promise,
        (outcome) => this.#resolved(task, outcome),
        (thrown) => this.failed(task, thrown),
      );
      return PENDING;
    }
    switch (value[toStringTag]) {
      case 'AsyncGenerator':
        return this.#unwrap(task, collect(value, task));
      case 'Generator':
        return arrayFrom(value);
      default:
        return value;
    }
  }

  /**
   * @param {Task} task
   * @param {unknown} outcome
   */
  #resolved(task, outcome) {
    let value = outcome;
    try {
      // An async function may return a generator.
      if (typeof value === 'object' && value !== null) value = this.#unwrap(task, value);
    } catch (thrown) {
      this.failed(task, thrown);
      return;
    }
    if (value !== PENDING) this.ended(task, value);
  }

  /**
   * The task has its value, and user code may go on. Only the first end of a task counts.
   *
   * @param {Task} task
   * @param {unknown} value
   */
  ended(task, value) {
    this.#end(task, value, true);
  }

  /**
   * The task has failed, and user code may go on. Only the first end of a task counts.
   *
   * @param {Task} task
   * @param {unknown} thrown
   */
  failed(task, thrown) {
    this.#fail(task, thrown, true);
  }

  /**
   * @param {Task} task
   * @param {unknown} value
   * @param {boolean} duringUserCode user code goes on
   */
  #end(task, value, duringUserCode) {
    if (task.settled) return;
    const elapsed = this.#markSettled(task);
    this.#writer.result(task.id, elapsed, value, duringUserCode);
    if (this.#running.delete(task.id)) this.#resume();
  }

  /**
   * @param {Task} task
   * @param {unknown} thrown
   * @param {boolean} duringUserCode user code goes on
   */
  #fail(task, thrown, duringUserCode) {
    if (task.settled) return;
    if (task.frame.exec !== undefined) explain(task.frame.exec, thrown);
    const elapsed = this.#markSettled(task);
    this.#writer.error(task.id, elapsed, thrown, duringUserCode);
    if (this.#running.delete(task.id)) this.#resume();
  }

  /**
   * @param {Task} task
   * @returns {number} µs from the claim to now
   */
  #markSettled(task) {
    task.settled = true;
    this.#clock = now();
    const elapsed = this.#clock - task.started;
    this.#longest = max(elapsed, this.#longest * DECAY);
    return round(elapsed * 1000);
  }

  // A running task has ended, mostly in a microtask. The next one starts right here, so that async
  // handlers which wait for nothing are as fast as plain ones; the replies go out once all
  // microtasks have run.
  #resume() {
    if (this.#onIdle !== null) {
      if (this.#running.size === 0) this.#onIdle();
      return;
    }
    if (this.#pumping) return;
    if (!this.#sliceOpen) {
      this.#sliceOpen = true;
      this.#sliceEnd = this.#clock + SLICE;
    } else if (this.#clock >= this.#sliceEnd) {
      this.#yieldToEventLoop();
      return;
    }
    this.#pumping = true;
    try {
      this.#startQueued();
    } finally {
      this.#pumping = false;
    }
    if (this.#tickPending) return;
    this.#tickPending = true;
    nextTick(() => {
      this.#tickPending = false;
      if (!this.#sliceOpen) this.#channel.flush();
      else this.#pump();
    });
  }

  /** Returns to the event loop, and comes back if there is something to start. */
  #yieldToEventLoop() {
    this.#channel.flush();
    this.#sliceOpen = false;
    if (this.#immediatePending || this.#head >= this.#queue.length || !this.#hasRoom()) return;
    this.#immediatePending = true;
    setImmediate(() => {
      this.#immediatePending = false;
      this.readable();
    });
  }
}

/**
 * Everything an async generator yields. Once nobody waits for the task any more, the generator may
 * clean up and go.
 *
 * @param {AsyncGenerator<unknown>} generator
 * @param {Task} task
 */
async function collect(generator, task) {
  const values = [];
  for await (const value of generator) {
    values[values.length] = value;
    if (task.aborted !== undefined) break;
  }
  return values;
}

module.exports = { Loop };
