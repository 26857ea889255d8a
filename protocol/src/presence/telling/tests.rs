//! One feed, its tellers and its followers: step by step, and under chance with everything that a bus can do.

mod chance;
mod same;
mod steps;
mod view;
mod world;
