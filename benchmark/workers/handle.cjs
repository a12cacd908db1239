// The handler that every pool of the benchmark runs. A measure names it in the environment, which
// all pools pass on, so each library needs one worker module only.
'use strict';

module.exports = require(`./handlers/${process.env.BENCHMARK_HANDLER}.cjs`);
