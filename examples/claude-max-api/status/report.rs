//! What `/status` says: the server, Claude Code behind it, and the traffic of the last hour.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use tower_claude::cli::{ClaudeCli, Status};

use super::traffic::{Hour, Traffic};

/// The whole report. Nothing in it is of what anybody said.
#[derive(Serialize)]
struct Report<'a> {
    /// When it was made, in seconds since 1970.
    now: u64,
    server: &'a ServerFacts,
    uptime_seconds: u64,
    claude: Status,
    last_hour: Hour,
}

/// What does not change while the server runs.
#[derive(Serialize)]
struct ServerFacts {
    version: &'static str,
    /// `client` or `agent`.
    mode: &'static str,
    /// Whether a stand-in answers instead of Claude.
    demo: bool,
    started_at: u64,
}

/// Makes reports.
pub(crate) struct Reporter {
    server: ServerFacts,
    claude: ClaudeCli,
    traffic: Arc<Traffic>,
}

impl Reporter {
    pub(crate) fn new(claude: ClaudeCli, traffic: Arc<Traffic>, agent: bool, demo: bool) -> Self {
        let server = ServerFacts {
            version: env!("CARGO_PKG_VERSION"),
            mode: if agent { "agent" } else { "client" },
            demo,
            started_at: now(),
        };
        Reporter { server, claude, traffic }
    }

    /// The report of this moment.
    pub(super) fn json(&self) -> String {
        let now = now();
        let report = Report {
            now,
            server: &self.server,
            uptime_seconds: now.saturating_sub(self.server.started_at),
            claude: self.claude.status(),
            last_hour: self.traffic.last_hour(now),
        };
        // Numbers and names: nothing in it can fail to be written.
        serde_json::to_string(&report).unwrap_or_default()
    }
}

/// Seconds since 1970.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}
