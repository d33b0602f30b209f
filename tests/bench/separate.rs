//! The proxy in a process of its own: this program, started again with a variable that says so.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tower_claude::cli::ClaudeCli;

use super::passthrough;
use super::server::Server;

const STAND_IN: &str = "TOWER_CLAUDE_BENCH_STAND_IN";
/// Room for so many processes. Without it, lines only go through.
const PROCESSES: &str = "TOWER_CLAUDE_BENCH_PROCESSES";
const THREADS: &str = "TOWER_CLAUDE_BENCH_THREADS";

/// A proxy that runs until this is dropped.
pub(crate) struct Separate {
    pub(crate) address: SocketAddr,
    pub(crate) pid: u32,
    child: Child,
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
        let mut child = Command::new(std::env::current_exe().unwrap())
            .env(STAND_IN, stand_in)
            .envs(processes.map(|processes| (PROCESSES, processes.to_string())))
            .env(THREADS, if one_thread { "one" } else { "many" })
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Separate { address: line.trim().parse().unwrap(), pid: child.id(), child }
    }
}

impl Drop for Separate {
    fn drop(&mut self) {
        // It ends with its standard input, and takes its processes along.
        drop(self.child.stdin.take());
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
        println!("{address}");
        std::io::stdout().flush().unwrap();
        let ended = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
        ended.await.unwrap().unwrap();
    });
}
