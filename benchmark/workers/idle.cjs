// A plain `node` that does nothing and ends with its parent.
'use strict';

process.stdin.on('close', () => process.exit()).resume();
