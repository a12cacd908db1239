//! One child process: the course of its life ([`life`], pure), the actor that reads, writes and reaps it
//! ([`actor`]), the parent's end of its channel ([`link`]) and what it printed ([`output`]).

pub mod actor;
pub mod life;
pub mod link;
pub mod output;
