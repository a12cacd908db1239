//! What runs in a worker process: the Rust half of `lib/worker/`, as far as it is not a matter of
//! Node-API.
//!
//! - [`outgoing`]: the worker's way out to its supervisor.
//! - [`parent_watch`]: how a worker ends with its parent.
//! - [`inherited`]: the descriptors that a worker was given.
//! - [`failpoints`]: where a worker dies on purpose, in tests.

pub(crate) mod failpoints;
pub(crate) mod inherited;
pub(crate) mod outgoing;
pub(crate) mod parent_watch;
