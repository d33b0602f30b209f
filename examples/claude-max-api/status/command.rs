//! `claude-max-api status`: fetches the report of a running server.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use super::terminal;
use crate::command_line;
use crate::flags::API_KEY;

/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The flags of the command.
#[derive(Args, Debug)]
pub(crate) struct StatusCommand {
    /// The server's address
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:3456")]
    url: Uri,
    /// One of the server's keys, if it has any
    #[arg(long, value_name = "KEY", env = API_KEY, hide_env_values = true)]
    api_key: Option<String>,
    /// Print the report as JSON, like GET /status
    #[arg(long)]
    json: bool,
}

/// Prints the report, or why there is none. The exit code is a success if the server is well.
pub(crate) fn run(asked: &StatusCommand) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&format!("Cannot start: {error}.")),
    };
    let report = match runtime.block_on(ask(asked)) {
        Ok(report) => report,
        Err(message) => return failed(&message),
    };
    let text = if asked.json { report.clone() } else { String::new() };
    let Ok(report) = serde_json::from_str::<Value>(&report) else {
        return failed(&format!(
            "What {} says is no status report: it is another program, or another version.",
            asked.url
        ));
    };
    let text = if asked.json { text + "\n" } else { terminal::summary(&report, &asked.url.to_string()) };
    let printed = command_line::print(text.as_bytes());
    if report["claude"]["status"] == "ok" { printed } else { ExitCode::FAILURE }
}

async fn ask(asked: &StatusCommand) -> Result<String, String> {
    let url = &asked.url;
    if url.scheme_str() != Some("http") {
        return Err(format!("`{url}` is no address that can be asked: write it as http://HOST:PORT."));
    }
    let address = format!("{}/status", url.to_string().trim_end_matches('/'));
    let mut request = Request::get(address);
    if let Some(key) = &asked.api_key {
        request = request.header(header::AUTHORIZATION, format!("Bearer {key}"));
    }
    let request = request.body(Empty::<Bytes>::new()).map_err(|_| format!("`{url}`, or the key, is not valid."))?;
    let answer = async {
        let response = Client::builder(TokioExecutor::new()).build_http().request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        Ok::<_, Box<dyn std::error::Error>>((status, body))
    };
    let (status, body) = match tokio::time::timeout(PATIENCE, answer).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => {
            return Err(format!(
                "No server answers at {url} ({error}). Start one with `claude-max-api`, or say where it is with --url."
            ));
        }
        Err(_) => return Err(format!("The server at {url} has not answered within {PATIENCE:?}.")),
    };
    match status {
        StatusCode::OK => Ok(String::from_utf8_lossy(&body).into_owned()),
        StatusCode::UNAUTHORIZED => {
            Err(format!("The server at {url} wants its API key: set {API_KEY}, or give it by --api-key."))
        }
        StatusCode::FORBIDDEN => Err(format!(
            "The server at {url} does not answer to that host name: address it by its IP, or start it with --allow-host."
        )),
        _ => Err(format!(
            "The server at {url} says {status} to GET /status: it is another program, or an older version."
        )),
    }
}

fn failed(message: &str) -> ExitCode {
    // If standard error is gone, there is nowhere to report it.
    let _ = writeln!(std::io::stderr(), "error: {message}");
    ExitCode::FAILURE
}
