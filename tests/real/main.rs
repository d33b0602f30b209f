//! All tests that run the real Claude Code CLI or real clients, in one program: `cargo test --test real cli::` runs a suite.
//! Those whose program is not installed say so and pass.

#![allow(clippy::unwrap_used, clippy::expect_used, unreachable_pub)]

mod agent;
mod cli;
mod clients;
mod doctor;
mod fidelity;
mod hosts;
mod messages_api;
mod openclaw;
mod operator;
mod places;
mod stand_in;
#[path = "../support/mod.rs"]
mod support;
