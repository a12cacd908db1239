//! The worker's end of its channel, as far as it is not a matter of Node-API.
//!
//! - [`outgoing`]: the way out.
//! - [`fault`]: where a worker dies on purpose.

pub mod fault;
pub mod outgoing;
