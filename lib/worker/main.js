'use strict';

// Entry of every Node worker. Its configuration arrives over the channel: the environment and the
// command line belong to the user.

const process = require('node:process');
const { fileURLToPath } = require('node:url');
const { ENGINE, HOST } = require('../platform/runtime');
const { isRecursion, markWorker, pathOf } = require('../platform/worker-process');
const { Builtin } = require('./builtin-program');
const { Channel } = require('./channel');
const { WorkerContext } = require('./context');
const { flushBeforeExit } = require('./exit');
const { withFailPoint } = require('./fail-point');
const { FrameWriter } = require('./frame-writer');
const { Inspector } = require('./inspector');
const { exit, parse } = require('./intrinsics');
const { Ipc } = require('./ipc');
const { isPermanent } = require('./load');
const { Loop } = require('./loop');
const { withoutMain } = require('./main-module');
const { openModule } = require('./module-program');
const { openPort, VERSION } = require('./native-port');
const { resolveModule } = require('./resolve');
const { Shutdown } = require('./shutdown');

const { port, attempts } = openPort();
const channel = new Channel(port);
/** @type {Shutdown | null} until `init` */
let shutdown = null;
/** @type {Loop | null} until the worker is ready */
let loop = null;

flushBeforeExit(channel);
channel.listen(onBytes, onEnd);

function onBytes() {
  if (loop !== null) loop.readable();
  else beforeReady();
}

// Handles frames that arrive before the worker is ready: only `init` and perhaps `stop`. The
// supervisor sends tasks to a ready worker only.
function beforeReady() {
  for (let text = port.take(); text !== null; text = port.take()) {
    /** @type {import('./frames').Frame[]} */
    const frames = parse(text);
    for (let i = 0; i < frames.length; i++) {
      const frame = frames[i];
      if (frame.type === 'init') void start(frame);
      // Without setup there is nothing to tear down.
      else if (frame.type === 'stop') exit(0);
    }
  }
}

function onEnd() {
  if (shutdown === null) exit(0);
  else shutdown.parentGone();
}

/** @param {import('./frames').InitFrame} init */
async function start(init) {
  // The watchdog cannot notice a parent that has died before now.
  if (!port.watchParent(init.parentPid, init.depth)) exit(0);

  const writer = new FrameWriter(channel, init);
  // Queued tasks go to another worker, because this one can no longer reply.
  const ipc = new Ipc(channel, writer, () => loop?.stop(() => {}));
  const context = new WorkerContext(init.workerId, writer);
  shutdown = new Shutdown(channel, ipc);
  process.title = `${init.pool} worker ${init.workerId}`;

  const inspector = init.options.captureStack && HOST === 'Node.js' ? new Inspector() : null;
  const opened = await openProgram(init, context).catch((thrown) =>
    failStart(writer, thrown, isPermanent(thrown)),
  );
  const program = withFailPoint(port, opened);
  // A retry may help: a database may be down for a moment, for example.
  await program.setup(context).catch((thrown) => failStart(writer, thrown, isRecursion(thrown)));

  ipc.program = program;
  const { concurrency } = init;
  const onStop = () => {
    shutdown?.stopRequested();
    port.passFailPoint('stop');
    loop?.stop(() => void shutdown?.stop(program, context));
  };
  const onMessage = (/** @type {unknown} */ message) => ipc.receive(message);
  loop = new Loop({
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
  });
  writer.ready(port.hasPage, port.hasRings);
  // Handle frames that arrived together with the last ones.
  loop.readable();
}

/**
 * @param {import('./frames').InitFrame} init
 * @param {WorkerContext} context
 * @returns {Promise<import('./module-program').Program>}
 */
async function openProgram(init, context) {
  if (init.version !== VERSION) {
    const message = `protocol version mismatch: the pool uses version ${init.version}, this worker version ${VERSION}`;
    throw Object.assign(new Error(message), { code: 'ERR_PROTOCOL' });
  }
  const { worker, captureStack, engine = 'V8', ancestors = [] } = init.options;
  const workerProcess = markWorker(ancestors, () => loop?.busy === true);
  if (captureStack && HOST !== 'Node.js')
    throw unavailable(`captureStack is not supported for workers that run on ${HOST}: use Node.js`);
  if (init.serialization === 'advanced' && engine !== ENGINE) {
    throw unavailable(
      `serialization "advanced" is not supported between two engines: the worker runs on ${ENGINE}, the pool on ${engine}`,
    );
  }
  if (worker === null) {
    withoutMain();
    return new Builtin(context, workerProcess);
  }
  const url = resolveModule(worker);
  workerProcess.ancestors.add(pathOf(url));
  // As under fork, `argv[1]` is the worker module, not this file.
  process.argv[1] = fileURLToPath(url);
  return openModule(url);
}

/** @param {string} message */
function unavailable(message) {
  return Object.assign(new Error(message), { code: 'ERR_FEATURE_UNAVAILABLE_ON_PLATFORM' });
}

/**
 * @param {FrameWriter} writer
 * @param {unknown} thrown
 * @param {boolean} permanent
 * @returns {never}
 */
function failStart(writer, thrown, permanent) {
  writer.fail(thrown, permanent);
  return exit(1);
}
