//! `ClaudeCli` as a service of chat requests, with stand-ins for the CLI as real child processes.

mod ahead;
mod birth;
mod functions;
mod live;
#[cfg(target_os = "linux")]
mod places;
mod pool;
mod recognition;
mod replay;
mod unpolled;
