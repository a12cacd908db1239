//! What runs in a worker process: the Rust half of `lib/worker/`, as far as it is not a matter of
//! Node-API.
//!
//! - [`outgoing`]: the worker's way out to its supervisor.
//! - [`parent_watch`]: how a worker ends with its parent.
//! - [`inherited`]: the descriptors that a worker was given.
//! - [`failpoints`]: where a worker dies on purpose, in tests.

pub mod failpoints;
pub mod inherited;
pub mod outgoing;
pub mod parent_watch;
