//! What happens to a client's event: found its handler, run, contained, answered, or handed to a service.

pub(crate) mod connected;
pub(crate) mod dispatch;
pub(crate) mod event;
pub(crate) mod extract;
pub(crate) mod registry;
pub(crate) mod reply;
pub(crate) mod service;
#[cfg(test)]
mod tests;
pub(crate) mod uidport;
mod unhandled;
