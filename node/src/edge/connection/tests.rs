//! The connection over a pipe in virtual time.
