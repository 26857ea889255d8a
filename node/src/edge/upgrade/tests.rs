//! The handshake over real sockets.
