//! The WebSocket transport at its edges.
