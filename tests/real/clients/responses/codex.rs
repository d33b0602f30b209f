//! Codex, headless, with nothing set but where its model is.

use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

use super::modules;
use crate::clients::installed;
use crate::support::claude_bin::real_cli;
use crate::support::in_time;
use crate::support::stack::Stack;

/// Codex in a home and a workspace of its own, over the real CLI; none where either is missing.
struct Codex {
    stack: Stack,
    scratch: tempfile::TempDir,
}

impl Codex {
    async fn start() -> Option<Codex> {
        if !installed(&modules().join("node_modules/.bin/codex")) {
            return None;
        }
        let stack = Stack::over(&real_cli()?, |builder| builder).await;
        let address = stack.serve().await;
        let scratch = tempfile::tempdir().unwrap();
        for directory in ["home", "work"] {
            std::fs::create_dir(scratch.path().join(directory)).unwrap();
        }
        // The configuration of the README, with this port.
        let config = format!(
            r#"
            model = "claude-opus-4"
            model_provider = "claude"

            [model_providers.claude]
            name = "Claude"
            base_url = "http://{address}/v1"
            wire_api = "responses"

            [model_providers.claude.auth]
            command = "echo"
            args = ["any key"]
            "#
        );
        std::fs::write(scratch.path().join("home/config.toml"), config).unwrap();
        Some(Codex { stack, scratch })
    }

    fn work(&self) -> std::path::PathBuf {
        self.scratch.path().join("work")
    }

    /// What it says at last.
    async fn exec(&self, arguments: &[&str]) -> String {
        let nowhere = "http://127.0.0.1:9";
        let output = Command::new(modules().join("node_modules/.bin/codex"))
            .arg("exec")
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.scratch.path().join("home"))
            .env("CODEX_HOME", self.scratch.path().join("home"))
            .envs([("HTTP_PROXY", nowhere), ("HTTPS_PROXY", nowhere), ("NO_PROXY", "127.0.0.1,localhost")])
            .current_dir(self.work())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = in_time("the end of Codex", output).await.unwrap();
        let (said, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "Codex failed: {}\n{said}\n{told}", output.status);
        assert!(!told.contains("Model metadata for"), "Codex knows the model: {told}");
        println!("--- {arguments:?}\n{said}\n{told}");
        said.into_owned()
    }

    fn live(&self) -> u64 {
        serde_json::to_value(self.stack.claude.health()).unwrap()["requests"]["live"].as_u64().unwrap()
    }
}

/// There is no sandbox in here that would let Codex write, and nothing that it could harm.
const FREE: &[&str] = &["--skip-git-repo-check", "-c", "sandbox_mode=\"danger-full-access\""];

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[tokio::test(flavor = "multi_thread")]
async fn codex_runs_commands_changes_files_and_resumes_on_one_process() {
    let Some(codex) = Codex::start().await else { return };

    let command = r#"Run it: [[tool exec_command {"cmd":"echo ran-$((40+2)) | tee made.txt"}]]"#;
    let said = codex.exec(&[FREE, &[command]].concat()).await;
    assert!(said.contains("ran-42"), "Codex ran the command, and its output is in the answer: {said}");
    assert_eq!(read(&codex.work().join("made.txt")), "ran-42\n");
    assert_eq!(codex.live(), 1, "the output went to the process that waited for it");

    let patch = r#"*** Begin Patch\n*** Update File: made.txt\n@@\n-ran-42\n+patched \"it\"\n*** End Patch\n"#;
    let patch = format!(r#"Change it: [[tool apply_patch {{"input":"{patch}"}}]]"#);
    let said = codex.exec(&[&["resume", "--last"], FREE, &[&patch]].concat()).await;
    assert!(said.contains("made.txt"), "{said}");
    assert_eq!(read(&codex.work().join("made.txt")), "patched \"it\"\n");
    assert_eq!(codex.live(), 3, "a second run of Codex goes on with the process of the first");

    let said = codex.exec(&[FREE, &["Say it: [[count 3]]"]].concat()).await;
    assert!(said.contains("w0 w1 w2"), "{said}");
    assert_eq!((codex.live(), codex.stack.started().len()), (3, 2), "another thread has a process of its own");
}

#[tokio::test(flavor = "multi_thread")]
async fn codex_is_told_of_reasoning_and_hands_it_back() {
    let Some(codex) = Codex::start().await else { return };
    let said = codex.exec(&[FREE, &["-c", "model_reasoning_summary=\"auto\"", "[[think about it]]"]].concat()).await;
    assert!(said.contains("echo: think about it"), "{said}");
    let said = codex.exec(&[&["resume", "--last"], FREE, &["[[count 2]]"]].concat()).await;
    assert!(said.contains("w0 w1"), "{said}");
    assert_eq!(codex.live(), 1);
}
