/**
 * A process pool: CPU-heavy and crash-prone work in supervised worker processes.
 *
 * The contract of index.d.ts, for `import`.
 *
 * @module bulkhead
 */

import ProcessManager from './index.js';

export default ProcessManager;
export type {
  Channels,
  Envelope,
  Events,
  ForeignWorker,
  LostKey,
  MapOptions,
  Options,
  PoolMessage,
  PoolSize,
  ProxyOptions,
  RestartOptions,
  ResultInfo,
  Retry,
  ShutdownOptions,
  ShutdownReport,
  Stats,
  StreamOptions,
  TaskErrorFields,
  TaskId,
  TaskMessage,
  TaskOptions,
  TimeStats,
  WorkerExit,
  WorkerInfo,
  WorkerProxy,
  WorkerStats,
} from './index.js';
export {
  AbortError,
  BulkheadError,
  MessageTooLargeError,
  PoolBrokenError,
  PoolClosedError,
  ProcessManager,
  ProtocolError,
  QueueFullError,
  SerializationError,
  TaskTimeoutError,
  WorkerCrashedError,
  WorkerStartError,
} from './index.js';
