//! Promises of the out-queue.
