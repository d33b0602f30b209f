//! Headless Chromium, driven over the WebDriver protocol by ChromeDriver.

use std::process::Stdio;
use std::time::Duration;

use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::support::PATIENCE;
use crate::support::claude_bin::say_skipped;
use crate::support::in_time;

/// A browser with one window and a profile of its own. It ends with the value.
pub(super) struct Browser {
    url: String,
    _driver: Child,
    _profile: TempDir,
}

impl Browser {
    /// Starts one; none, and a word about it, where ChromeDriver is not installed.
    pub(super) async fn start() -> Option<Browser> {
        let mut command = Command::new("chromedriver");
        command.arg("--port=0").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        let Ok(mut driver) = command.spawn() else {
            say_skipped("no Chromium; Debian has it in the packages chromium and chromium-driver");
            return None;
        };
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = loop {
            let line = in_time("a line", lines.next_line()).await.unwrap();
            let line = line.expect("ChromeDriver runs");
            if let Some(port) = line.split("successfully on port ").nth(1) {
                break port.trim_end_matches('.').to_owned();
            }
        };
        let profile = tempfile::tempdir().unwrap();
        let mut browser = Browser { url: format!("http://127.0.0.1:{port}"), _driver: driver, _profile: profile };
        let args = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            &format!("--user-data-dir={}", browser._profile.path().display()),
        ];
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "goog:chromeOptions": {"args": args},
            "goog:loggingPrefs": {"browser": "ALL"},
        }}});
        let session = browser.ask(Method::POST, "/session", wanted).await;
        browser.url = format!("{}/session/{}", browser.url, session["sessionId"].as_str().unwrap());
        Some(browser)
    }

    async fn ask(&self, method: Method, path: &str, body: Value) -> Value {
        let request = Request::builder().method(method).uri(format!("{}{path}", self.url));
        let request = request.header("content-type", "application/json").body(Full::from(body.to_string())).unwrap();
        let client = Client::builder(TokioExecutor::new()).build_http::<Full<bytes::Bytes>>();
        let answer = async {
            let response = client.request(request).await.unwrap();
            let body = response.into_body().collect().await.unwrap().to_bytes();
            serde_json::from_slice::<Value>(&body).unwrap()["value"].clone()
        };
        let value = in_time("the browser answers", answer).await;
        assert!(value.get("error").is_none(), "{path}: {value}");
        value
    }

    /// Goes to an address.
    pub(super) async fn open(&self, url: &str) {
        self.ask(Method::POST, "/url", json!({"url": url})).await;
    }

    /// Runs a script in the page, as the body of a function.
    pub(super) async fn run(&self, script: &str) -> Value {
        self.ask(Method::POST, "/execute/sync", json!({"script": script, "args": []})).await
    }

    /// Waits until a script says true.
    pub(super) async fn until(&self, script: &str) {
        let said = tokio::time::timeout(PATIENCE, async {
            while self.run(script).await != true {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
        if said.await.is_err() {
            panic!("never: {script}\n{}", self.text().await);
        }
    }

    /// The page's text, as it is shown.
    pub(super) async fn text(&self) -> String {
        self.run("return document.body.innerText").await.as_str().unwrap().to_owned()
    }

    /// What the console and the policy have complained about since it was last asked.
    pub(super) async fn complaints(&self) -> Vec<String> {
        let entries = self.ask(Method::POST, "/se/log", json!({"type": "browser"})).await;
        entries.as_array().unwrap().iter().map(|entry| entry["message"].as_str().unwrap().to_owned()).collect()
    }
}
