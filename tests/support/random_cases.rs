//! Random lives of clients over one pool, whose processes log everything they are told.

use std::path::Path;

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, TestRunner};
use tempfile::TempDir;
use tower_claude::cli::ClaudeCli;

/// A pool of stand-ins, at times fewer than there are conversations.
pub(crate) struct Pool {
    pub(crate) claude: ClaudeCli,
    told: TempDir,
}

impl Pool {
    pub(crate) fn new() -> Pool {
        let told = tempfile::tempdir().unwrap();
        let builder = super::chat::claude().warm_processes(2).max_processes(6);
        Pool { claude: builder.env("STAND_IN_LOG", told.path().join("{pid}")).build(), told }
    }

    /// The directory of the logs: one file per process, with everything that it was told.
    pub(crate) fn told(&self) -> &Path {
        self.told.path()
    }
}

/// Runs `PROPTEST_CASES` random lives, or `default` if that is not set, and returns their number.
pub(crate) fn live<S: Strategy>(default: u32, lives: &S, live: impl AsyncFn(S::Value)) -> u32 {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(default);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let run = runner.run(lives, |life| {
        runtime.block_on(live(life));
        Ok(())
    });
    run.unwrap_or_else(|error| panic!("{error}"));
    cases
}
