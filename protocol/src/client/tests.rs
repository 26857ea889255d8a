//! Promises of the client half.
