//! Keys in a file: who gets in, what the log says of them, and files that will not do.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use http::Request;
use http_body_util::Full;

use super::start::fails;
use crate::support::claude_bin::stand_in;
use crate::support::server_process::{ServerProcess, example};

fn file(directory: &Path, text: &str, mode: u32) -> PathBuf {
    let path = directory.join("keys");
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    path
}

async fn server(keys: &Path) -> ServerProcess {
    let mut command = example("claude-max-api");
    command.args(["0", "--warm", "0", "--api-key-file"]).arg(keys).env("CLAUDE_BIN", stand_in());
    ServerProcess::start(command).await
}

fn chat(key: Option<&str>) -> Request<Full<Bytes>> {
    let mut request = Request::post("/").header("content-type", "application/json");
    if let Some(key) = key {
        request = request.header("authorization", format!("Bearer {key}"));
    }
    request.body(Full::from(r#"{"model": "sonnet", "messages": [{"role": "user", "content": "hi"}]}"#)).unwrap()
}

#[tokio::test]
async fn each_key_of_the_file_lets_in_and_the_log_knows_whose_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let keys = "# who may\n\nada: sk-of-ada\n  bob:sk:of:bob  \nsk-of-nobody\n";
    let mut server = server(&file(directory.path(), keys, 0o600)).await;
    for (key, status) in [
        (None, 401),
        (Some("sk-of-eve"), 401),
        (Some("ada"), 401),
        (Some("sk-of-ada"), 200),
        (Some("sk:of:bob"), 200),
        (Some("sk-of-nobody"), 200),
    ] {
        let response = server.send("/v1/chat/completions", chat(key)).await;
        assert_eq!(response.status(), status, "{key:?}");
    }
    let logged = server.until_logged("key=\"bob\"").await;
    assert!(!logged.contains("sk-of-") && !logged.contains("sk:of"), "{logged}");
}

#[tokio::test]
async fn a_file_that_everyone_can_read_is_warned_of() {
    let directory = tempfile::tempdir().unwrap();
    let mut server = server(&file(directory.path(), "ada:sk-1", 0o644)).await;
    server.until_logged("chmod 600").await;
}

#[tokio::test]
async fn a_file_that_will_not_do_is_refused_by_its_line_and_without_its_text() {
    let directory = tempfile::tempdir().unwrap();
    for (text, advice) in [
        ("", "has no key in it"),
        ("# nobody\n", "has no key in it"),
        ("ada:sk-secret\nbob:\n", "line 2: there is no key"),
        ("ada smith:sk-secret", "line 1: a name is"),
        (":sk-secret", "line 1: a name is"),
        ("ada:sk secret", "line 1: a key is"),
        ("ada:sk-secret\n\nbob:sk-secret", "line 3: this key is there already"),
    ] {
        let path = file(directory.path(), text, 0o600);
        let mut command = example("claude-max-api");
        let (code, stderr) = fails(command.args(["0", "--demo", "--api-key-file"]).arg(&path)).await;
        assert_eq!(code, Some(2), "{text:?}: {stderr}");
        assert!(stderr.contains(advice) && !stderr.contains("secret"), "{text:?}: {stderr}");
    }
    let mut command = example("claude-max-api");
    let (code, stderr) = fails(command.args(["0", "--demo", "--api-key-file", "/nowhere/keys"])).await;
    assert_eq!(code, Some(2));
    assert!(stderr.contains("/nowhere/keys cannot be read"), "{stderr}");
}
