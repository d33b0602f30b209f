//! What the server needs from the machine: its port, a sufficient limit on open files, and memory for its processes.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::report::Report;
use crate::flags::Flags;
use crate::server::room_for_connections;
use crate::status::{Judged, now};

/// How long a server that already has the port may take to answer `/health`.
const TIMEOUT: Duration = Duration::from_secs(5);

/// What a Claude Code process takes (2.1.328).
const PROCESS_MEGABYTES: u64 = 150;

/// Far larger than any `/health` response.
const MAX_HEALTH_BYTES: u64 = 1024 * 1024;

pub(super) async fn examine(flags: &Flags, addresses: &[SocketAddr], report: &mut Report) {
    for address in addresses {
        port(*address, report).await;
    }
    let wanted = flags.max_connections;
    match room_for_connections(wanted, flags.max_processes.get()) {
        Ok(room) if room < wanted => {
            let message = format!("The limit of open files leaves room for {room} connections of {wanted}.");
            report.note("files", &message, "Raise the limit (`ulimit -n`), or lower max-connections.");
        }
        Ok(_) => report.ok("files", &format!("There may be enough of them open for {wanted} connections.")),
        Err(message) => report.broken("files", &message, ""),
    }
    let count = flags.max_processes.get();
    let wanted = PROCESS_MEGABYTES.saturating_mul(count as u64);
    let message = format!("{count} processes (--max-processes) take up to {wanted} MB");
    match available_megabytes() {
        None => report.ok("memory", &format!("{message}; this system does not say what it has.")),
        Some(available) if available < wanted => {
            report.note("memory", &format!("{message}, and {available} are available."), "Lower --max-processes.");
        }
        Some(available) => report.ok("memory", &format!("{message}, and {available} are available.")),
    }
}

/// The memory available on this machine or, if less, allowed to this container.
fn available_megabytes() -> Option<u64> {
    let meminfo = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let machine = line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.saturating_mul(1024);
    let container = std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok().and_then(|max| max.trim().parse().ok());
    Some(machine.min(container.unwrap_or(u64::MAX)) / 1_000_000)
}

async fn port(address: SocketAddr, report: &mut Report) {
    match TcpListener::bind(address).await {
        Ok(_) => report.ok("port", &format!("{address} can be listened on.")),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            match tokio::time::timeout(TIMEOUT, health(address)).await.ok().flatten() {
                Some(health) => {
                    let status = health["status"].as_str().unwrap_or("unknown");
                    let version = health["claude_code_version"].as_str().unwrap_or("not known yet");
                    let message = format!(
                        "A server of this kind listens on {address} already: its status is {status:?}, its Claude Code {version}."
                    );
                    report.note("port", &message, "Use that one, stop it, or name another --port.");
                    // `/health` does not say whether the server refuses extra usage.
                    for notice in Judged::of(&health, None, now()).notices {
                        report.note("server", &notice.text, "");
                    }
                }
                None => {
                    let message = format!("Another program listens on {address}.");
                    report.broken("port", &message, "Stop it, or name another --port.");
                }
            }
        }
        Err(error) => {
            report.broken(
                "port",
                &format!("{address} cannot be listened on: {error}."),
                "Name another --host or --port.",
            );
        }
    }
}

/// The `/health` of a `claude-max-api` at this address; `None` if some other program has the port.
async fn health(address: SocketAddr) -> Option<Value> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    let request = format!("GET /health HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = Vec::new();
    stream.take(MAX_HEALTH_BYTES).read_to_end(&mut answer).await.ok()?;
    let answer = String::from_utf8(answer).ok()?;
    let (_, body) = answer.split_once("\r\n\r\n")?;
    let health: Value = serde_json::from_str(body).ok()?;
    health.get("processes").is_some().then_some(health)
}
