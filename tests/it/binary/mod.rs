//! The reference server as a real process: how it starts, what it answers, how it ends.

mod commands;
mod config;
mod connections;
mod doctor;
mod fairness;
mod flags;
mod keys;
mod killed;
mod log;
mod protocol;
mod raw;
mod readme;
mod records;
mod service;
mod serving;
mod shutdown;
mod start;
mod status;
mod store;
mod supervisor;
