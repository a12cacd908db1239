//! The claim word under loom. See `Cargo.toml`.

#[path = "../../src/shm/claim.rs"]
pub mod claim;
