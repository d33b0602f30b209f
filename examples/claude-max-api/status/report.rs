//! What `/status` says: the server, Claude Code behind it, and the traffic of the last hour.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde_json::Value;
use tower_claude::cli::ClaudeCli;

use super::plan::{Judged, Notice, Plan, State};
use super::traffic::{Hour, Traffic};
use crate::flags::{Flags, Overage};

/// The whole report. It contains nothing of any conversation.
#[derive(Serialize)]
struct Report<'a> {
    /// When it was made, in seconds since 1970.
    now: u64,
    server: &'a ServerFacts,
    uptime_seconds: u64,
    state: State,
    /// What an operator should know at once.
    notices: Vec<Notice>,
    plan: Plan,
    /// All of `ClaudeCli::status`.
    claude: Value,
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
    /// Whether requests that would draw on extra usage are refused.
    refuses_overage: bool,
    started_at: u64,
}

/// Makes reports.
pub(crate) struct Reporter {
    server: ServerFacts,
    claude: ClaudeCli,
    traffic: Arc<Traffic>,
}

impl Reporter {
    /// The flags say how the server was started.
    pub(crate) fn new(claude: ClaudeCli, traffic: Arc<Traffic>, agent: bool, flags: &Flags) -> Self {
        let server = ServerFacts {
            version: env!("CARGO_PKG_VERSION"),
            mode: if agent { "agent" } else { "client" },
            demo: flags.demo,
            refuses_overage: flags.overage == Overage::Refuse,
            started_at: now(),
        };
        Reporter { server, claude, traffic }
    }

    /// The current report as JSON.
    pub(super) fn json(&self) -> String {
        let now = now();
        // Only numbers and strings: serialization cannot fail.
        let claude = serde_json::to_value(self.claude.status()).unwrap_or_default();
        let Judged { state, plan, mut notices } = Judged::of(&claude, Some(self.server.refuses_overage), now);
        if self.server.demo {
            notices.push(Notice { bad: false, text: "A demonstration: a stand-in answers, not Claude.".to_owned() });
        }
        let report = Report {
            now,
            server: &self.server,
            uptime_seconds: now.saturating_sub(self.server.started_at),
            state,
            notices,
            plan,
            claude,
            last_hour: self.traffic.last_hour(now),
        };
        serde_json::to_string(&report).unwrap_or_default()
    }
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}
