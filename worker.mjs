// 'bulkhead/worker' is for types (see worker.d.mts): what a worker module gets, it gets as arguments.

export {};
