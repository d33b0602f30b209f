//! `--store`: what was kept is known after a restart, whatever ended the server before, and to nobody else.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rusqlite::Connection;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::support::claude_bin::stand_in;
use crate::support::in_time;
use crate::support::server_process::{ServerProcess, example, settings};

fn server(file: &Path, more: &[&str]) -> Command {
    let mut command = example("claude-max-api");
    command.arg("0").arg("--store").arg(file).args(more).env("CLAUDE_BIN", stand_in());
    command
}

async fn started(file: &Path) -> ServerProcess {
    ServerProcess::start(server(file, &[])).await
}

async fn create(server: &ServerProcess, fields: Value) -> Value {
    let mut body = json!({"model": "sonnet"});
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    server.post("/v1/responses", &body).await.json()
}

/// How the server that cannot start says why.
async fn refusal(file: &Path) -> String {
    let output = in_time("its end", server(file, &[]).output()).await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8(output.stderr).unwrap()
}

fn rows(file: &Path) -> Vec<String> {
    let database = Connection::open(file).unwrap();
    let mut select = database.prepare("SELECT id FROM response ORDER BY expires_at, rowid").unwrap();
    select.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

#[tokio::test]
async fn a_conversation_goes_on_after_the_server_was_killed() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("responses.db");
    let first = started(&file).await;
    let made = create(&first, json!({"input": "my name is Ada"})).await;
    first.kill().await;
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);

    let second = started(&file).await;
    let answer = create(&second, json!({"input": "[[count 1]]", "previous_response_id": made["id"]})).await;
    assert_eq!(answer["status"], "completed", "{answer}");
    let path = format!("/v1/responses/{}", made["id"].as_str().unwrap());
    assert_eq!(second.get(&path).await.json(), made);
    let items = second.get(&format!("/v1/responses/{}/input_items", answer["id"].as_str().unwrap())).await.json();
    assert!(items.to_string().contains("my name is Ada"), "{items}");
}

#[tokio::test]
async fn two_servers_do_not_share_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("responses.db");
    let _first = started(&file).await;
    let refusal = refusal(&file).await;
    assert!(refusal.contains("another server uses it"), "{refusal}");
}

#[tokio::test]
async fn a_file_that_cannot_be_the_store_is_refused_with_the_reason() {
    let directory = tempfile::tempdir().unwrap();
    let named = |name: &str| directory.path().join(name);
    std::fs::write(named("notes.txt"), "These are notes of mine, and they are no database at all.".repeat(20)).unwrap();
    Connection::open(named("other.db")).unwrap().execute_batch("CREATE TABLE mine (a)").unwrap();
    Connection::open(named("newer.db")).unwrap().pragma_update(None, "user_version", 99).unwrap();
    for (file, reason) in [
        ("notes.txt", "it is no SQLite database"),
        ("other.db", "it is a database of another program"),
        ("newer.db", "it has version 99 of its tables"),
        ("no/such/directory.db", "Its directory must exist"),
    ] {
        let refusal = refusal(&named(file)).await;
        assert!(refusal.contains(reason), "{file}: {refusal}");
    }
    assert!(std::fs::read_to_string(named("notes.txt")).unwrap().starts_with("These are notes of mine"));
}

#[tokio::test]
async fn what_has_expired_or_is_too_much_goes_from_its_end_and_a_conversation_stays_whole() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("responses.db");
    let large = format!("[[count 1]]{}", "x".repeat(400_000));
    let (_settings, config) = settings("store-limit = 1");
    let server = ServerProcess::start(server(&file, &[&config[0], &config[1]])).await;
    let old = create(&server, json!({"input": large})).await;
    let whole = create(&server, json!({"input": large})).await;
    let end = create(&server, json!({"input": large, "previous_response_id": whole["id"]})).await;
    let deleted = create(&server, json!({"input": "short"})).await;
    let path = format!("/v1/responses/{}", deleted["id"].as_str().unwrap());
    assert_eq!(server.delete(&path).await.status, 200);
    server.kill().await;
    let rows = rows(&file);
    let has = |made: &Value| rows.contains(&made["id"].as_str().unwrap()["resp_".len()..].to_owned());
    assert_eq!((has(&old), has(&whole), has(&end), has(&deleted)), (false, true, true, false), "{rows:?}");
}
