//! The connection between a pipe and a real hub, in virtual time.

mod bad_input;
mod bounds;
mod ends;
mod fixture;
mod life;
