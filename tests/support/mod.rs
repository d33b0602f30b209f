//! Shared by the tests and benches: a Messages API on loopback, the two CLIs to test with, scripted turns, servers as
//! processes, and clients that read their answers.

// Each test program uses only a part.
#![allow(dead_code, unused_imports, unused_macros, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

pub(crate) mod answer;
pub(crate) mod api_rules;
pub(crate) mod chat;
pub(crate) mod claude_bin;
pub(crate) mod cli_process;
pub(crate) mod marks;
pub(crate) mod messages_api;
pub(crate) mod pretend_model;
pub(crate) mod process;
pub(crate) mod prompt_cache;
pub(crate) mod random_cases;
pub(crate) mod schema;
pub(crate) mod server_process;
pub(crate) mod snapshot;
pub(crate) mod stack;
pub(crate) mod transcript;
pub(crate) mod turns;

use std::future::Future;
use std::time::Duration;

/// The time after which a test that hangs fails. No test depends on it: it is long because all tests share a few cores.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);

/// Awaits a future, and panics after [`PATIENCE`].
pub(crate) async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what} did not come in {PATIENCE:?}"))
}
