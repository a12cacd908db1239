//! See `Cargo.toml`.

#[path = "../../src/shm/claim.rs"]
pub mod claim;
