'use strict';

// The addon of this platform, without napi's loader (native.cjs). Node takes 2.5 ms to compile that
// loader, and where there is no `ldd` to read, it has a report of the whole process made.

const { Buffer } = require('node:buffer');
const { closeSync, existsSync, openSync, readSync } = require('node:fs');
const path = require('node:path');
const process = require('node:process');

/** The bytes at the beginning of an executable in which linkers put the path of its loader. */
const HEADER_BYTES = 2048;

/**
 * Returns the name that `napi.targets` in package.json gives this platform.
 *
 * @returns {string | undefined} undefined: the executable does not show its libc
 */
function ownTarget() {
  const { arch, platform } = process;
  if (platform !== 'linux') return `${platform}-${arch}`;
  const libc = ownLibc();
  return libc && `${platform}-${arch}-${libc}`;
}

/**
 * Returns the libc that the kernel loads this executable with.
 *
 * @returns {'gnu' | 'musl' | undefined}
 */
function ownLibc() {
  const header = ownHeader();
  if (header.includes('/ld-musl-')) return 'musl';
  return header.includes('/ld-linux-') ? 'gnu' : undefined;
}

function ownHeader() {
  const header = Buffer.alloc(HEADER_BYTES);
  try {
    const fd = openSync(process.execPath, 'r');
    try {
      readSync(fd, header, 0, HEADER_BYTES, 0);
    } finally {
      closeSync(fd);
    }
  } catch {
    // The permission model may hide the file.
  }
  return header;
}

/**
 * @param {string} folder of the package
 * @param {string} target
 * @returns {string} what to `require`: a build of this checkout, or the installed package
 */
function addonId(folder, target) {
  const file = path.join(folder, `bulkhead.${target}.node`);
  return existsSync(file) ? file : `bulkhead-${target}`;
}

module.exports = { addonId, ownTarget };
