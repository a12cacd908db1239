//! Memory shared by the supervisor and one worker.
//!
//! - [`page`] makes and opens the page; its size is sealed, so neither side can take it from under the other.
//! - [`claim`] is the one word in it that matters: which tasks have started.
//!
//! The page holds atomics only, and whatever the supervisor reads there it reads once and checks before use. No pointers,
//! lengths or locks are shared.

pub mod claim;
pub mod page;

pub use claim::{ClaimWord, Violation};
pub use page::SharedPage;
