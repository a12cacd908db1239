//! Memory shared by the supervisor and one worker.
//!
//! - [`page`] makes and opens the memory. Its size is sealed, so that neither side can take it from
//!   the other.
//! - [`claim`] is the claim word: how many tasks have started.
//! - [`ring`] carries large raw bytes, which the channel would copy twice and wait for.
//!
//! The supervisor reads every value there once, and checks it before use. The two sides share no
//! pointers and no locks.

pub(crate) mod claim;
pub(crate) mod page;
pub(crate) mod ring;

pub(crate) use page::SharedPage;
