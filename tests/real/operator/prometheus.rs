//! Prometheus' own parsers, over `/metrics`.

use std::io::Write;
use std::process::Stdio;

use tokio::process::Command;

use super::server;
use crate::support::claude_bin::{say_skipped, target_directory};
use crate::support::server_process::ServerProcess;

/// A server that has answered, failed, refused and cut a request.
async fn used() -> ServerProcess {
    let server = server(&[]).await;
    server.say("[[limits]]").await;
    server.say("[[fail 529]]").await;
    server.say("[[crash]]").await;
    server.get("/v1/nothing").await;
    server
}

#[tokio::test]
async fn the_python_clients_parser_reads_each_family_as_its_kind() {
    let python = target_directory().join("python/bin/python");
    let script = r#"
import sys
from prometheus_client.parser import text_string_to_metric_families
families = {family.name: family for family in text_string_to_metric_families(sys.stdin.read())}
kinds = {
    "gen_ai_server_request_duration_seconds": "histogram",
    "gen_ai_server_time_to_first_token_seconds": "histogram",
    "gen_ai_client_token_usage": "histogram",
    "tower_claude_queue_wait_seconds": "histogram",
    "tower_claude_process_starts": "counter",
    "tower_claude_process_ends": "counter",
    "tower_claude_processes": "gauge",
    "tower_claude_plan_utilization_ratio": "gauge",
}
for name, kind in kinds.items():
    assert families[name].type == kind, (name, families[name].type)
    assert families[name].documentation, name
def value(name, **labels):
    of = [s for family in families.values() for s in family.samples if s.name == name]
    return sum(s.value for s in of if labels.items() <= s.labels.items())
count = "gen_ai_server_request_duration_seconds_count"
assert value(count) == 3, value(count)
assert value(count, outcome="stop", door="chat_completions", gen_ai_operation_name="chat") == 1
assert value(count, outcome="overloaded", error_type="overloaded") == 1
assert value("tower_claude_process_ends_total", reason="crashed") == 1
assert value("tower_claude_process_starts_total") == 3
assert value("gen_ai_client_token_usage_sum", gen_ai_token_type="input") > 0
"#;
    let known = Command::new(&python).args(["-c", "import prometheus_client"]).output().await;
    if !known.is_ok_and(|known| known.status.success()) {
        let missing = "prometheus-client is not installed; for it to be, run\n    \
                       target/python/bin/pip install prometheus-client==0.26.0";
        assert!(std::env::var_os("TOWER_CLAUDE_REQUIRE_CLIENTS").is_none(), "{missing}");
        return say_skipped(missing);
    }
    let metrics = used().await.get("/metrics").await.text().to_owned();
    fed(Command::new(&python).args(["-c", script]), &metrics).await;
}

#[tokio::test]
async fn promtool_finds_nothing_to_complain_about() {
    if Command::new("promtool").arg("--version").output().await.is_err() {
        return say_skipped("no promtool; Debian has it in the package prometheus");
    }
    let metrics = used().await.get("/metrics").await.text().to_owned();
    fed(Command::new("promtool").args(["check", "metrics"]), &metrics).await;
}

/// Runs a command that is to be content with this.
async fn fed(command: &mut Command, input: &str) {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(input.as_bytes()).unwrap();
    std::io::Seek::rewind(&mut file).unwrap();
    let output = command.stdin(Stdio::from(file)).output().await.unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}\nof\n{input}");
    assert_eq!(said, "", "of\n{input}");
}
