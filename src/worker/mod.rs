//! One child process: the course of its life ([`life`], pure), the actor that reads, writes and reaps it
//! ([`actor`]), the parent's end of its channel ([`link`]) and what waits to be written there ([`outbox`]), what the worker
//! says ([`hearing`]), what it printed ([`output`]) and what that says of its end ([`last_words`]).

pub mod actor;
pub mod hearing;
pub mod last_words;
pub mod life;
pub mod link;
mod outbox;
pub mod output;

#[cfg(test)]
mod tests;
