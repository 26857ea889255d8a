//! Grace, batches, numbers and parts of a node's own users, in virtual time.
