//! The server ends in the middle of a command of Claude Code's: the command ends, too, and nothing stays behind.
#![cfg(target_os = "linux")] // Who is whose child is read from /proc.

use std::path::{Path, PathBuf};

use http_body_util::BodyExt;
use hyper::body::Incoming;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::chat::until;
use crate::support::claude_bin::real_cli;
use crate::support::in_time;
use crate::support::messages_api::MessagesApi;
use crate::support::process::{children, kill, mark, runs, watching};
use crate::support::server_process::{ServerProcess, example};

struct Scene {
    api: MessagesApi,
    directory: tempfile::TempDir,
    server: ServerProcess,
}

impl Scene {
    /// The reference server over the real CLI, if it is there.
    async fn start(mode: &str) -> Option<Scene> {
        let program = real_cli()?;
        let api = MessagesApi::start().await;
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("workspace")).unwrap();
        std::fs::create_dir(directory.path().join("home")).unwrap();
        let server = ServerProcess::start(command(&program, mode, directory.path(), &api)).await;
        Some(Scene { api, directory, server })
    }

    fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.directory.path().join(path)
    }

    /// Has a command started that would touch `after` in five minutes. Its answer, and its process.
    async fn command(&self) -> (Incoming, u32) {
        let answer = self.stream(r#"[[tool Bash {"command":"echo $$ > pid; sleep 300; touch after"}]]"#).await;
        let file = self.path("workspace/pid");
        until("the command", || std::fs::read_to_string(&file).is_ok_and(|pid| pid.ends_with('\n'))).await;
        let pid = std::fs::read_to_string(file).unwrap().trim().parse().unwrap();
        assert!(runs(pid));
        (answer, pid)
    }

    async fn stream(&self, text: &str) -> Incoming {
        let body: Value = json!({"model": "sonnet", "stream": true, "messages": [{"role": "user", "content": text}]});
        let mut body = self.server.start_chat(&body).await.into_body();
        in_time("a frame", body.frame()).await;
        body
    }

    /// The CLIs that the server has started.
    fn started(&self) -> Vec<u32> {
        children(self.server.pid())
    }

    /// The files by which running CLIs know each other.
    fn sessions(&self) -> Vec<PathBuf> {
        let files = std::fs::read_dir(self.path("home/.claude/sessions"));
        files.map(|files| files.map(|file| file.unwrap().path()).collect()).unwrap_or_default()
    }

    fn sockets(&self) -> Vec<PathBuf> {
        let session = |file: &PathBuf| serde_json::from_slice::<Value>(&std::fs::read(file).ok()?).ok();
        let sessions = self.sessions();
        sessions.iter().filter_map(session).filter_map(|it| Some(it["messagingSocketPath"].as_str()?.into())).collect()
    }
}

fn command(program: &Path, mode: &str, directory: &Path, api: &MessagesApi) -> tokio::process::Command {
    let mut command = example("claude-max-api");
    command.args(["0", "--mode", mode, "--shutdown-timeout", "0s"]);
    if mode == "agent" {
        command.arg("--workspace").arg(directory.join("workspace"));
    }
    command
        .env("CLAUDE_BIN", program)
        .env("HOME", directory.join("home"))
        .env("ANTHROPIC_BASE_URL", api.url())
        .env("ANTHROPIC_API_KEY", "test-key")
        .env("DISABLE_TELEMETRY", "1")
        .env("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1")
        .env("IS_SANDBOX", "1");
    command
}

#[tokio::test]
async fn a_server_that_is_killed_or_told_to_end_leaves_nothing_of_agent_mode() {
    for kill in [true, false] {
        let Some(scene) = Scene::start("agent").await else { return };
        let (_answer, command) = scene.command().await;
        let (mut processes, sockets) = (scene.started(), scene.sockets());
        processes.push(command);
        let requests = scene.api.requests().len();
        let Scene { server, directory, api } = scene;
        let temporary = if kill {
            Some(server.kill().await)
        } else {
            server.signal(Signal::TERM);
            server.ended().await;
            None
        };
        until("the end of all processes", || !processes.iter().any(|pid| runs(*pid))).await;
        let sessions = directory.path().join("home/.claude/sessions");
        until("no session left", || std::fs::read_dir(&sessions).unwrap().next().is_none()).await;
        assert!(!directory.path().join("workspace/after").exists(), "the command went on");
        assert!(!sockets.is_empty() && sockets.iter().all(|socket| !socket.exists()), "{sockets:?}");
        assert_eq!(api.requests().len(), requests, "the API was asked once more");
        drop(temporary);
    }
}

#[tokio::test]
async fn an_answer_that_is_cut_leaves_no_session_behind_and_the_api_is_asked_no_more() {
    let Some(scene) = Scene::start("client").await else { return };
    let answer = scene.stream("[[slow 100 count 100000]]").await;
    let sockets = scene.sockets();
    let at_work: Vec<u32> = scene.started();
    drop(answer);
    let file = |pid: &u32| scene.path(format!("home/.claude/sessions/{pid}.json"));
    until("the end of the process", || at_work.iter().any(|pid| !runs(*pid) && !file(pid).exists())).await;
    until("its files to be gone", || scene.sessions().len() == 2 * scene.started().len()).await;
    assert!(sockets.iter().any(|socket| !socket.exists()), "{sockets:?}");
    assert_eq!(scene.api.requests().len(), 1);
    scene.server.signal(Signal::TERM);
    scene.server.ended().await;
    let sessions = scene.directory.path().join("home/.claude/sessions");
    until("no session left", || std::fs::read_dir(&sessions).unwrap().next().is_none()).await;
}

#[tokio::test]
async fn what_a_server_leaves_that_was_killed_with_all_its_processes_is_removed_by_the_next_one() {
    for mode in ["client", "agent"] {
        let Some(scene) = Scene::start(mode).await else { return };
        let (_answer, command) = match mode {
            "agent" => scene.command().await,
            _ => (scene.stream("[[slow 100 count 100000]]").await, 0),
        };
        let (sessions, sockets, processes) = (scene.sessions(), scene.sockets(), scene.started());
        assert!(!sessions.is_empty() && !sockets.is_empty());
        // As when the whole group is killed for its memory. A command of an agent's is in a group of its own.
        scene.server.signal(Signal::STOP);
        let mark = processes.iter().find_map(|pid| mark(*pid)).unwrap();
        watching(&mark).into_iter().chain(processes).for_each(kill);
        let Scene { server, directory, api } = scene;
        let temporary = server.kill().await;
        assert!(sessions.iter().chain(&sockets).all(|file| file.exists()), "nobody was there to remove them");

        let next = self::command(&real_cli().unwrap(), mode, directory.path(), &api);
        let _next = ServerProcess::start_in(next, temporary).await;
        until("the sessions to be gone", || !sessions.iter().chain(&sockets).any(|file| file.exists())).await;
        until("the end of the command", || mode == "client" || !runs(command)).await;
    }
}
