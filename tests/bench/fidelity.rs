//! Random conversations over the real CLI, each compared with what is right: what the model gets of them, and what the client
//! gets back.
//!
//! ```text
//! cargo bench --bench fidelity                              # 1,000 conversations of a new seed
//! SEED=7 CONVERSATIONS=100 cargo bench --bench fidelity     # of an earlier one
//! SEED=7 CASE=42 cargo bench --bench fidelity               # one of them again
//! ```
//!
//! `SHRINKS` (40) is in how many trials each difference's example is made smaller; `SHOW=1` prints each request, what reaches
//! the API of it, and the answer.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../fidelity/mod.rs"]
mod fidelity;
#[path = "../support/mod.rs"]
mod support;

use std::process::ExitCode;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

#[tokio::main]
async fn main() -> ExitCode {
    let time = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let seed = number("SEED").unwrap_or(time.as_secs());
    let numbers = match number("CASE") {
        Some(case) => case..case + 1,
        None => 0..number("CONVERSATIONS").unwrap_or(1000),
    };
    let Some(court) = fidelity::court().await else { return ExitCode::FAILURE };
    let shrinks = number("SHRINKS").map_or(fidelity::SHRINKS, |shrinks| usize::try_from(shrinks).unwrap());
    match fidelity::judge(&court, seed, numbers, shrinks).await {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}
