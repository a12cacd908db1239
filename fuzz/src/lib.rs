//! The common parts of the fuzz targets: a second opinion on the protocol, written without any of
//! the code under test, and an allocator that counts.

pub mod json;
pub mod memory;
pub mod reference;
