//! The Claude Code on this machine: whether it is installed, its version, and whether it is logged in.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use tokio::process::Command;
use tower_claude::cli::{ClaudeCli, Version};

use super::report::Report;

/// The versions that this release was tested with, from the oldest supported to the newest at the time.
const TESTED: [Version; 3] = [Version::new(2, 1, 321), Version::new(2, 1, 328), Version::new(2, 1, 332)];

/// How long Claude Code may take to say whether it is logged in.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Reports on Claude Code. Returns whether it runs.
pub(super) async fn examine(program: &Path, report: &mut Report) -> bool {
    let version = match ClaudeCli::builder().program(program).build().version().await {
        Ok(version) => version,
        Err(error) => {
            // The message has its own advice, but names the library's builder method instead of the flag.
            report.broken("claude", &error.to_string().replace("`program`", "`--claude-bin`"), "");
            return false;
        }
    };
    report.ok("claude", &format!("{} is Claude Code {version}.", program.display()));
    let newest = TESTED.last().is_some_and(|newest| version > *newest);
    if TESTED.contains(&version) {
        report.ok("version", "It is one that this release was tested with.");
    } else if newest {
        let message = format!("It is newer than those that this release was tested with ({}).", tested());
        report.note("version", &message, "See below whether it still speaks the protocol.");
    } else {
        report.ok("version", &format!("It is between those that this release was tested with ({}).", tested()));
    }
    login(program, report).await;
    true
}

fn tested() -> String {
    TESTED.map(|version| version.to_string()).join(", ")
}

/// What `claude auth status` prints. The credentials themselves are never read.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Login {
    logged_in: bool,
    auth_method: Option<String>,
    subscription_type: Option<String>,
    login_expires_at: Option<serde_json::Value>,
}

async fn login(program: &Path, report: &mut Report) {
    const ADVICE: &str = "Run `claude` once and log in, as the user that the server runs as; or set ANTHROPIC_API_KEY, or \
                          CLAUDE_CODE_OAUTH_TOKEN (`claude setup-token`), for the server.";
    let mut command = Command::new(program);
    command.args(["auth", "status"]).stdin(Stdio::null()).kill_on_drop(true);
    let output = match tokio::time::timeout(TIMEOUT, command.output()).await {
        Ok(Ok(output)) => output,
        Ok(Err(error)) => return report.note("login", &format!("Cannot ask Claude Code for it: {error}."), ADVICE),
        Err(_) => return report.note("login", &format!("Claude Code did not say within {TIMEOUT:?}."), ADVICE),
    };
    match serde_json::from_slice::<Login>(&output.stdout) {
        Ok(Login { logged_in: true, auth_method, subscription_type, login_expires_at }) => {
            let by = match auth_method.as_deref() {
                Some("claude.ai") => "with a Claude account".to_owned(),
                Some("api_key" | "api_key_helper") => {
                    "with an API key, which is billed under the API's terms".to_owned()
                }
                Some("oauth_token") => "with a token of `claude setup-token`".to_owned(),
                Some(method) => format!("by {method}"),
                None => "in a way that it does not tell".to_owned(),
            };
            let plan = subscription_type.map(|plan| format!(", on the plan {plan:?}")).unwrap_or_default();
            let until = match login_expires_at {
                Some(serde_json::Value::String(time)) => format!(", until {time}"),
                _ => String::new(),
            };
            report.ok("login", &format!("Claude Code is logged in {by}{plan}{until}."));
        }
        Ok(Login { logged_in: false, .. }) => report.broken("login", "Claude Code is not logged in.", ADVICE),
        Err(_) => {
            let message = "This Claude Code does not say whether it is logged in (`claude auth status`).";
            report.note("login", message, "Run `claude` once: it asks for a login where it has none.");
        }
    }
}
