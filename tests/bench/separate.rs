//! The proxy in a process of its own: this program, started again with a variable that says so, or the reference server.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tower_claude::cli::ClaudeCli;

use super::passthrough;
use super::server::Server;

const STAND_IN: &str = "TOWER_CLAUDE_BENCH_STAND_IN";
/// Room for so many processes. Without it, lines only go through.
const PROCESSES: &str = "TOWER_CLAUDE_BENCH_PROCESSES";
const THREADS: &str = "TOWER_CLAUDE_BENCH_THREADS";

/// The program of a reference server (`claude-max-api`), to be measured in place of this program's own.
const REFERENCE: &str = "SERVER";

/// What either writes before its address, and a slash after it.
const LISTENING: &str = "Listening on http://";

/// A proxy that runs until this is dropped.
pub(crate) struct Separate {
    pub(crate) address: SocketAddr,
    pub(crate) pid: u32,
    child: Child,
    /// Whether it is the reference server, which ends when it is told to; this program ends with its standard input.
    told_to_end: bool,
}

impl Separate {
    /// Starts it, with room for this many processes, on one thread or on as many as the reference binary would have.
    pub(crate) fn start(stand_in: &Path, processes: usize, one_thread: bool) -> Separate {
        Separate::run(stand_in, Some(processes), one_thread)
    }

    /// The same of what only lets lines through.
    pub(crate) fn passthrough(stand_in: &Path, one_thread: bool) -> Separate {
        Separate::run(stand_in, None, one_thread)
    }

    fn run(stand_in: &Path, processes: Option<usize>, one_thread: bool) -> Separate {
        let reference = std::env::var_os(REFERENCE).zip(processes);
        let mut command = match &reference {
            Some((program, processes)) => reference_server(program, stand_in, *processes, one_thread),
            None => this_again(stand_in, processes, one_thread),
        };
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.strip_prefix(LISTENING).and_then(|rest| rest.split('/').next()?.parse().ok());
        let address =
            address.unwrap_or_else(|| panic!("the server did not start: it wrote {line:?}. See why with {command:?}"));
        Separate { address, pid: child.id(), child, told_to_end: reference.is_some() }
    }
}

fn this_again(stand_in: &Path, processes: Option<usize>, one_thread: bool) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .env(STAND_IN, stand_in)
        .envs(processes.map(|processes| (PROCESSES, processes.to_string())))
        .env(THREADS, if one_thread { "one" } else { "many" });
    command
}

/// As an operator would start it, but for its log, which goes nowhere.
fn reference_server(program: &OsStr, stand_in: &Path, processes: usize, one_thread: bool) -> Command {
    let mut command = Command::new(program);
    command
        .args(["serve", "--port", "0", "--config", "/dev/null", "--request-timeout", "1h", "--max-processes"])
        .arg(processes.to_string())
        .arg("--claude-bin")
        .arg(stand_in)
        .envs(one_thread.then_some(("TOKIO_WORKER_THREADS", "1")))
        .stderr(Stdio::null());
    command
}

impl Drop for Separate {
    fn drop(&mut self) {
        // Either takes its processes along.
        drop(self.child.stdin.take());
        if self.told_to_end {
            kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        }
        self.child.wait().unwrap();
    }
}

pub(crate) fn is_server() -> bool {
    std::env::var_os(STAND_IN).is_some()
}

/// Is the proxy until standard input ends.
pub(crate) fn serve() {
    let setting = |name: &str| std::env::var(name).unwrap();
    let mut runtime = match setting(THREADS).as_str() {
        "one" => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    runtime.enable_all().build().unwrap().block_on(async {
        let program = PathBuf::from(setting(STAND_IN));
        let (address, _server) = match std::env::var(PROCESSES) {
            Err(_) => (passthrough::start(program).await, None),
            Ok(processes) => {
                let claude = ClaudeCli::builder()
                    .program(program)
                    .max_processes(processes.parse().unwrap())
                    .request_timeout(Duration::from_secs(3600))
                    .build();
                let server = Server::start(claude).await;
                (server.address, Some(server))
            }
        };
        println!("{LISTENING}{address}/");
        std::io::stdout().flush().unwrap();
        let ended = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
        ended.await.unwrap().unwrap();
    });
}
