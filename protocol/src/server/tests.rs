//! Promises of the server half.
