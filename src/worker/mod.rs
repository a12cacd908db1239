//! The parts of a worker process that do not depend on Node-API: the Rust half of `lib/worker/`.
//!
//! - [`outgoing`]: the worker's way out to its supervisor.
//! - [`parent_watch`]: how a worker ends with its parent.
//! - [`inherited`]: the descriptors that a worker was given.
//! - [`fail_points`]: where a worker dies on purpose, in tests.

pub(crate) mod fail_points;
pub(crate) mod inherited;
pub(crate) mod outgoing;
pub(crate) mod parent_watch;
