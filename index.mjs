// One class, whichever module system asks for it: the package is CommonJS, and this only gives
// names to its parts.
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
