//! Rust types as application values: what serde alone does not know of the protocol's values.

pub(crate) mod de;
pub mod time;
pub mod uuid;
