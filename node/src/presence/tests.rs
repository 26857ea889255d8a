//! The driver and its hooks over a bus in this process: who is there, and who is told.
