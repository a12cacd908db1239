'use strict';

exports.handle = require('./handle.cjs');
