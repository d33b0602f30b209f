//! What the server holds while nobody asks it anything: the same after the soak as before it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::support::server_process::ServerProcess;

/// How long the server may take to come to rest: processes that wait for their conversation go after three seconds.
const PATIENCE: Duration = Duration::from_secs(40);

/// How much more memory may stay resident afterwards, in bytes: the allocator keeps some, per thread.
const MEMORY: u64 = 48 * 1024 * 1024;

#[derive(Debug, PartialEq)]
pub(crate) struct Rest {
    processes: Vec<u32>,
    descriptors: usize,
    threads: usize,
    directories: usize,
    memory: u64,
}

impl Rest {
    /// What is not as it was.
    pub(crate) fn compare(&self, after: &Rest, peak: u64) -> Vec<String> {
        let megabytes = |bytes: u64| bytes as f64 / 1024.0 / 1024.0;
        println!(
            "at rest, before and after: processes {} and {}, descriptors {} and {}, threads {} and {}, directories {} \
             and {}, memory {:.1} and {:.1} MB (peak {:.1})",
            self.processes.len(),
            after.processes.len(),
            self.descriptors,
            after.descriptors,
            self.threads,
            after.threads,
            self.directories,
            after.directories,
            megabytes(self.memory),
            megabytes(after.memory),
            megabytes(peak),
        );
        let mut wrong = Vec::new();
        let mut same = |what: &str, before: usize, after: usize| {
            if before != after {
                wrong.push(format!("{what}: {before} before, {after} after"));
            }
        };
        same("processes", self.processes.len(), after.processes.len());
        same("descriptors", self.descriptors, after.descriptors);
        same("directories", self.directories, after.directories);
        if after.memory > self.memory + MEMORY {
            wrong.push(format!(
                "memory: {:.1} MB before, {:.1} after",
                megabytes(self.memory),
                megabytes(after.memory)
            ));
        }
        wrong
    }
}

/// Waits until nothing is at work and nothing changes any more.
pub(crate) async fn at_rest(server: &ServerProcess) -> Result<Rest, String> {
    let began = Instant::now();
    let mut since = Instant::now();
    let mut last = (Value::Null, look(server));
    loop {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let health = tokio::time::timeout(PATIENCE, server.get("/health")).await.map_err(|_| "no /health")?.json();
        let now = (json!([health["processes"], health["queue"], health["bodies"]]), look(server));
        let counts = &health["processes"];
        let quiet = ["busy", "live", "parked"].iter().all(|name| counts[*name] == 0)
            && counts["warm"] == counts["total"]
            && counts["warm"] == 2
            && health["queue"]["length"] == 0
            && health["bodies"]["bytes"] == 0;
        let same = now.0 == last.0
            && now.1.processes == last.1.processes
            && now.1.descriptors == last.1.descriptors
            && now.1.directories == last.1.directories;
        if !(quiet && same) {
            since = Instant::now();
        }
        last = now;
        if since.elapsed() > Duration::from_secs(1) {
            return Ok(last.1);
        }
        if began.elapsed() > PATIENCE {
            return Err(format!("{} {:?}", last.0, last.1));
        }
    }
}

fn look(server: &ServerProcess) -> Rest {
    let count = |path: String| std::fs::read_dir(path).map_or(0, Iterator::count);
    let pid = server.pid();
    Rest {
        processes: children(pid),
        descriptors: count(format!("/proc/{pid}/fd")),
        threads: count(format!("/proc/{pid}/task")),
        directories: count(server.temporary().display().to_string()),
        memory: memory(pid),
    }
}

/// As many answers at once as there may be processes: no place was lost.
pub(crate) async fn all_places_are_free(server: &Arc<ServerProcess>) -> Result<(), String> {
    let most = server.get("/health").await.json()["processes"]["max"].as_u64().unwrap_or(0);
    let answers = (0..most).map(|_| {
        let server = Arc::clone(server);
        tokio::spawn(async move { server.say("[[slow 100 count 10]]").await.status.as_u16() })
    });
    let mut busiest = 0;
    let answers: Vec<_> = answers.collect();
    while answers.iter().any(|answer| !answer.is_finished()) {
        busiest = server.get("/health").await.json()["processes"]["busy"].as_u64().unwrap_or(0).max(busiest);
    }
    for answer in answers {
        match answer.await {
            Ok(200) => {}
            other => return Err(format!("one of {most} answers at once is {other:?}")),
        }
    }
    if busiest == most { Ok(()) } else { Err(format!("no more than {busiest} of {most} processes work at once")) }
}

/// The processes that this one has started, without those that are only to be waited for.
pub(crate) fn children(parent: u32) -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let mut children: Vec<u32> = pids.filter(|pid| parent_of(*pid) == Some(parent)).collect();
    children.sort_unstable();
    children
}

/// The parent of a process that runs. The name, in parentheses, may have anything in it.
fn parent_of(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    fields.next()?.parse().ok().filter(|_| state != "Z")
}

/// Waits until these have ended.
pub(crate) async fn gone(pids: &[u32]) -> Result<(), String> {
    let began = Instant::now();
    loop {
        let left: Vec<_> = pids.iter().filter(|pid| parent_of(**pid).is_some()).collect();
        if left.is_empty() {
            return Ok(());
        }
        if began.elapsed() > Duration::from_secs(5) {
            return Err(format!("processes stay behind: {left:?}"));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Resident memory, in bytes.
fn memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) * 1024
}

/// Keeps the most memory that was ever seen.
pub(crate) async fn watch_memory(pid: u32, peak: Arc<AtomicU64>) {
    loop {
        peak.fetch_max(memory(pid), Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
