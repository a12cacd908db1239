'use strict';

// The worker's loop: reads frames, runs tasks, sends replies.
//
//   bytes ─▶ port ─▶ queue ─▶ claim ─▶ handler ─▶ reply ─▶ batch ─▶ one write
//
// A claim tells the supervisor that a task has started, which is final. The loop claims tasks in
// the order of their frames, directly before user code. The supervisor may take a queued task back
// at any time: its claim then fails and the loop drops it.
//
// The loop runs tasks for about SLICE ms before it returns to the event loop, so that timers and
// I/O of the handlers are served. Replies wait no longer than that, unless the supervisor allows
// more because many tasks wait. The loop cannot predict a long task. It only knows whether a recent
// one was long, and then lets no reply wait for longer than is allowed.

const { isPromise } = require('node:util/types');
const { nextTick, now, setImmediate } = require('../clock');
const { textsIn } = require('../codec/long-strings');
const { decode } = require('../codec/serialize');
const { recycler } = require('../platform/recycler');
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

/** Time between two returns to the event loop (ms). */
const SLICE = 1;
/** Tasks longer than this make the next one suspect (ms). */
const SHORT_TASK = 0.25;
/**
 * Decay of the longest duration for each task. After a task of 100 ms, about 200 short tasks are
 * answered one by one.
 */
const DECAY = 0.97;

/** @typedef {import('./frames').TaskFrame} TaskFrame */

/** The frame of a task that has only an id and a payload. @type {TaskFrame} */
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
   * Tasks whose handler has returned but that have not ended, by attempt id.
   *
   * @type {Map<number, Task>}
   */
  #running = new OwnMap();

  #pumping = false;
  /**
   * The last read brought a single frame. Another read would find nothing, because the supervisor
   * sends what it has at once. `listen` notices what comes later.
   */
  #lone = false;
  /** State of the slice: whether one has begun, and the time (by `now`) at which it ends. */
  #sliceOpen = false;
  #sliceEnd = 0;
  #tickPending = false;
  #immediatePending = false;
  /**
   * Time (by `now`) at which the last task ended, and the decaying duration of the longest recent
   * task (ms).
   */
  #clock = 0;
  #longest = 0;

  /**
   * @param {object} parts
   * @param {import('./native-port').Port} parts.port
   * @param {Float64Array} parts.attempts written by `port.take`
   * @param {import('./channel').Channel} parts.channel
   * @param {import('./frame-writer').FrameWriter} parts.writer
   * @param {import('./module-program').Program} parts.program
   * @param {import('./context').WorkerContext} parts.context
   * @param {number} parts.concurrency number of tasks that may run at a time
   * @param {() => void} parts.onStop called when the supervisor asks the worker to stop; must call
   *   `stop`
   * @param {(message: unknown) => void} parts.onMessage called with each message of the pool's user
   * @param {import('./inspector').Inspector | null} parts.inspector null unless the supervisor may
   *   open it
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
    // Bound once, because a native method call would resolve its object each time.
    this.#claim = port.createClaim();
    this.#onStop = onStop;
    this.#onMessage = onMessage;
    this.#inspector = inspector;
  }

  /** True while a task runs. */
  get busy() {
    return this.#pumping || this.#running.size > 0;
  }

  /** Handles new bytes in the port. Called from the event loop, never from a task. */
  readable() {
    this.#lone = false;
    this.#sliceOpen = true;
    this.#sliceEnd = now() + SLICE;
    this.#pump();
  }

  /**
   * Stops starting tasks.
   *
   * @param {() => void} onIdle called when the last running task has ended
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
        if (now() >= this.#sliceEnd) {
          this.#yieldToEventLoop();
          return;
        }
        this.#channel.flushUnlessHeld(this.#longest);
        // If no further task may run, the end of a running one continues from here. `listen` also
        // notices the end of the stream (-1).
        if (!this.#hasRoom() || this.#lone || this.#port.fill() <= 0) {
          // Without a further task no reply waits.
          this.#channel.flush();
          // The supervisor has all replies, so the collection delays none.
          if (recycler.isDue) recycler.recycle();
          return;
        }
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
    let frames = 0;
    for (let text = this.#port.take(); text !== null; text = this.#port.take()) {
      const values = parse(text);
      frames += values.length;
      const queue = this.#queue;
      for (let i = 0; i < values.length; i++) {
        const id = attempts[2 * i];
        if (id > 0) queue[queue.length] = new Task(this, id, attempts[2 * i + 1], PLAIN, values[i]);
        else this.#handleFrame(values[i]);
      }
    }
    if (frames > 0) this.#lone = frames === 1;
  }

  /** @param {any} frame any frame except a task with only an id and a payload */
  #handleFrame(frame) {
    if (frame.type === 'task') {
      // The port ends a batch after a frame with raw bytes, so these bytes belong to it.
      if (frame.bytes !== undefined) frame.blobs = this.#blobs(frame);
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
      const blobs = frame.bytes === undefined ? [] : this.#blobs(frame);
      this.#onMessage(decode(frame.message, frame, blobs));
    } else if (frame.type === 'stop') this.#onStop();
  }

  /**
   * Returns the raw bytes of the last frame.
   *
   * @param {any} frame
   */
  #blobs(frame) {
    const blobs = this.#port.blobs(textsIn(frame.binary));
    recycler.count(blobs);
    return blobs;
  }

  /** @param {import('./frames').CreditFrame} frame */
  #credit({ id, count }) {
    this.#running.get(id)?.credit?.add(count);
  }

  /** @param {import('./frames').AbortFrame} frame */
  #abort({ id, reason }) {
    this.#inspector?.close();
    this.#running.get(id)?.abort(reason);
    // A queued task that the supervisor has not taken back starts with its signal aborted.
    for (let i = this.#head; i < this.#queue.length; i++) {
      const task = this.#queue[i];
      if (task?.id === id) task.abort(reason);
    }
  }

  #startQueued() {
    const queue = this.#queue;
    while (this.#head < queue.length && this.#hasRoom()) {
      if (this.#longest > SHORT_TASK) this.#channel.flushUnlessHeld(this.#longest);
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
    // Earlier replies must not depend on the user code that runs next.
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
    // The synchronous part of a pending task counts for the slice.
    if (value === PENDING) this.#clock = now();
  }

  /**
   * @param {Task} task
   * @param {any} value not a primitive
   * @returns {unknown} the value to reply with, or PENDING
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
   * Ends a task with a value while user code may continue. Only the first end of a task counts.
   *
   * @param {Task} task
   * @param {unknown} value
   */
  ended(task, value) {
    this.#end(task, value, true);
  }

  /**
   * Fails a task while user code may continue. Only the first end of a task counts.
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
   * @param {boolean} duringUserCode user code continues
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
   * @param {boolean} duringUserCode user code continues
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

  // Starts the next task when a running one has ended, usually in a microtask. Thus async handlers
  // that await nothing are as fast as synchronous ones. The replies leave after all microtasks have
  // run.
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

  /** Returns to the event loop, and continues later if a queued task may start. */
  #yieldToEventLoop() {
    this.#sliceOpen = false;
    if (this.#head >= this.#queue.length || !this.#hasRoom()) {
      this.#channel.flush();
      return;
    }
    this.#channel.flushUnlessHeld(this.#longest);
    if (this.#immediatePending) return;
    this.#immediatePending = true;
    setImmediate(() => {
      this.#immediatePending = false;
      this.readable();
    });
  }
}

/**
 * Collects the values of an async generator. An aborted task ends the generator, with its
 * `finally`.
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
