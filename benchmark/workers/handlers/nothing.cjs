'use strict';

module.exports = function nothing() {};
