//! What happens to a client's event: found its handler, run, contained, answered, or handed to a service.

pub(crate) mod connected;
