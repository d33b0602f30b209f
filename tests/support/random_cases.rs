//! Random lives of clients over one pool, which keeps what each of its processes was told.

use std::path::Path;

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, TestRunner};
use tempfile::TempDir;
use tower_claude::cli::ClaudeCli;

/// A pool of stand-ins, fewer than there are conversations at times.
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

    /// A file for each process, with all that it was told in its life.
    pub(crate) fn told(&self) -> &Path {
        self.told.path()
    }
}

/// Has as many random lives lived as `PROPTEST_CASES` says, and returns how many that was.
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
