// The same contract, for `import`: see index.d.ts.
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
