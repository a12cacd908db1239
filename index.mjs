// The same class for both module systems: the package is CommonJS, and this file adds the named
// exports.
import ProcessManager from './index.js';

export default ProcessManager;
export { ProcessManager };
export const {
  AbortError,
  BulkheadError,
  MessageTooLargeError,
  PoolBrokenError,
  PoolClosedError,
  ProtocolError,
  QueueFullError,
  SerializationError,
  TaskTimeoutError,
  WorkerCrashedError,
  WorkerStartError,
} = ProcessManager;
