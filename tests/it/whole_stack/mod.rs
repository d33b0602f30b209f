//! The whole stack: from an HTTP request to the lines that the CLI is told, and from the lines that the real CLI wrote to
//! the bytes of the answer.

mod places;
mod recorded;
mod round_trip;
mod told;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use serde_json::Value;
use tower::Layer;
use tower_claude::cli::ClaudeCli;
use tower_claude::http::{ApiService, GuardLayer, HttpStack, http_stack};
use tower_claude::layers::{OpenClaw, openclaw};

/// What the reference binary serves.
fn stack(claude: &ClaudeCli) -> HttpStack<OpenClaw<ClaudeCli>> {
    http_stack(ApiService::new(openclaw().layer(claude.clone())).abilities(ClaudeCli::abilities()), GuardLayer::new())
}

/// A request as a client on this machine sends it.
fn post(body: &Value) -> Request<Full<Bytes>> {
    let mut request = crate::support::script::post(body);
    request.headers_mut().insert("host", http::HeaderValue::from_static("127.0.0.1:3456"));
    request
}

/// Status, headers that say something, and body; ids and times, which differ in each run, are named instead.
fn shown(answer: &crate::support::script::Answer) -> String {
    let mut text = format!("HTTP {}\n", answer.status);
    for (name, value) in &answer.headers {
        match name.as_str() {
            // A recording's window has opened since, or has not.
            "x-request-id" | "retry-after" | "x-ratelimit-reset-requests" => {}
            _ => text.push_str(&format!("{name}: {}\n", value.to_str().unwrap())),
        }
    }
    text.push('\n');
    text.push_str(&match answer.header("content-type") {
        Some("application/json") => serde_json::to_string_pretty(&answer.json()).unwrap(),
        _ => answer.text().to_owned(),
    });
    let ids = regex::Regex::new("chatcmpl-[0-9a-f]{32}").unwrap();
    let times = regex::Regex::new(r#""created": ?[0-9]+"#).unwrap();
    times.replace_all(&ids.replace_all(&text, "chatcmpl-[id]"), "\"created\": \"[time]\"").into_owned()
}

fn assert_snapshot(name: &str, description: &str, text: &str) {
    let mut settings = insta::Settings::new();
    settings.set_snapshot_path(concat!(env!("CARGO_MANIFEST_DIR"), "/snapshots"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.set_description(description);
    settings.bind(|| insta::assert_snapshot!(name, text));
}
