'use strict';

require('workerpool').worker({ handle: require('./handle.cjs') });
