//! The client against a scripted server over real sockets: one test binary.

mod connecting;
mod conversation;
mod ending;
mod handlers;
mod http;
mod http_server;
mod polling;
mod server;
