//! Everything that can go wrong with the CLI, and what the client hears of it.

mod api;
mod lines;
mod lost;
mod start;
mod unasked;
