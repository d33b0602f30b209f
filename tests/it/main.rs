//! All tests that need nothing but Rust, in one program, which is linked once: `cargo test --test it http::` runs a suite.

#![allow(clippy::unwrap_used, clippy::expect_used, unreachable_pub)]

mod binary;
mod cli;
mod container;
mod conversations;
mod examples;
mod faults;
mod fields;
mod http;
mod isolation;
mod layers;
mod openclaw_told;
mod package;
mod request_decoder;
mod responses;
mod stand_in_oddities;
#[path = "../support/mod.rs"]
mod support;
mod whole_stack;
