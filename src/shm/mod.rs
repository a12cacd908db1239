//! Memory shared by the supervisor and one worker.
//!
//! - [`page`] makes and opens the memory; its size is sealed, so neither side can take it from
//!   under the other.
//! - [`claim`] is the one word in it that matters: which tasks have started.
//! - [`ring`] carries large raw bytes, which the channel would copy twice and wait for.
//!
//! Whatever the supervisor reads there it reads once and checks before use. No pointers and no
//! locks are shared.

pub(crate) mod claim;
pub(crate) mod page;
pub(crate) mod ring;

pub(crate) use page::SharedPage;
