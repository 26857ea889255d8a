//! RFC 6455 as a table of cases, each whole, split at every byte, and byte by byte.

mod any_bytes;
mod fixture;
mod frames;
mod limits;
mod text;
