// All measures, in the order of the report.

import { addon } from './addon.mjs';
import { blocked } from './blocked.mjs';
import { churn } from './churn.mjs';
import { cold } from './cold.mjs';
import { cpu } from './cpu.mjs';
import { memory } from './memory.mjs';
import { mix } from './mix.mjs';
import { oneInFlight } from './one-in-flight.mjs';
import { jestEmpty, jestPi, piscinaAdd, poolifierFactorial, tinypoolIsolate } from './own.mjs';
import { payload } from './payload.mjs';
import { drain, queue, queueWithoutPromise } from './queue.mjs';
import { recovery } from './recovery.mjs';
import { roundTrip, roundTripPinned } from './round-trip.mjs';
import { scale64, scale256 } from './scale.mjs';
import { bufferSizes, stringSizes } from './sizes.mjs';
import { spawn } from './spawn.mjs';
import { tiny } from './tiny.mjs';

/** @type {Record<string, import('./types.mjs').Measure>} */
export const measures = {
  tiny,
  'one-in-flight': oneInFlight,
  'round-trip': roundTrip,
  'round-trip-pinned': roundTripPinned,
  payload,
  queue,
  'queue-without-promise': queueWithoutPromise,
  cpu,
  mix,
  blocked,
  spawn,
  cold,
  recovery,
  memory,
  addon,
  drain,
  'scale-64': scale64,
  'scale-256': scale256,
  churn,
  'sizes-buffer': bufferSizes,
  'sizes-string': stringSizes,
  'jest-empty': jestEmpty,
  'jest-pi': jestPi,
  'piscina-add': piscinaAdd,
  'poolifier-factorial': poolifierFactorial,
  'tinypool-isolate': tinypoolIsolate,
};
