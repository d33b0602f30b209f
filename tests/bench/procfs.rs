//! What Linux says of processes: CPU time and what there was of it, memory, children, and whether they have gone quiet.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// The CPU time that a process's threads have had, to the nanosecond.
pub(crate) fn cpu_time(pid: u32) -> Duration {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let of_thread = |thread: std::io::Result<std::fs::DirEntry>| {
        let schedstat = std::fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        schedstat.split(' ').next()?.parse().ok().map(Duration::from_nanos)
    };
    threads.filter_map(of_thread).sum()
}

/// A process's resident memory, and the part of it that is not mapped from files, in bytes.
pub(crate) fn memory(pid: u32) -> Memory {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() * 1024.0
    };
    Memory { resident: field("VmRSS:"), anonymous: field("RssAnon:") }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    pub(crate) resident: f64,
    pub(crate) anonymous: f64,
}

/// Waits until this process's children, and theirs, have done nothing to speak of for a while: what has just been
/// started or has just answered must not take the CPU from what is measured next.
pub(crate) async fn quiet() {
    const WHILE: Duration = Duration::from_millis(300);
    // A tick is 10 ms.
    const NOTHING: u64 = 1;
    let patience = Instant::now() + Duration::from_secs(60);
    let (mut since, mut before) = (Instant::now(), descendants_ticks());
    while since.elapsed() < WHILE && Instant::now() < patience {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let now = descendants_ticks();
        if now > before + NOTHING || now < before {
            (since, before) = (Instant::now(), now);
        }
    }
}

/// The CPU time that all children of this process have had that have ended. Waits, for a while, until all have.
pub(crate) async fn cpu_time_of_children() -> Duration {
    let patience = Instant::now() + Duration::from_secs(10);
    while has_children() && Instant::now() < patience {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let (_, rest) = stat.rsplit_once(") ").unwrap();
    let ticks: u64 = rest.split(' ').skip(13).take(2).map(|field| field.parse::<u64>().unwrap()).sum();
    // A tick is 10 ms.
    Duration::from_millis(10 * ticks)
}

fn has_children() -> bool {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let of_task = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
    tasks.map(of_task).any(|children| !children.trim().is_empty())
}

/// What the CPUs had to give to this process and its descendants, from a moment on: what they took, and what nobody did.
/// Where other programs run beside a benchmark, times say less than this.
pub(crate) struct Cpus {
    ours: u64,
    idle: u64,
    all: u64,
}

impl Cpus {
    pub(crate) fn now() -> Cpus {
        let stat = std::fs::read_to_string("/proc/stat").unwrap();
        // User, nice, system, idle, waiting for disks, two kinds of interrupts, and stolen.
        let fields = stat.lines().next().unwrap().split_ascii_whitespace().skip(1).take(8);
        let fields: Vec<u64> = fields.map(|field| field.parse().unwrap()).collect();
        let own = std::fs::read_to_string("/proc/self/stat").unwrap();
        let ours = ticks_of(own.rsplit_once(") ").unwrap().1) + descendants_ticks();
        Cpus { ours, idle: fields[3] + fields[4], all: fields.iter().sum() }
    }

    /// The share of all CPU time since then that was not taken by others.
    pub(crate) fn share_since(&self) -> f64 {
        let now = Cpus::now();
        let ours = now.ours.saturating_sub(self.ours) + (now.idle - self.idle);
        (ours as f64 / (now.all - self.all).max(1) as f64).min(1.0)
    }
}

/// User and system time in clock ticks, with that of the children that it has reaped, from what follows the name in `stat`.
fn ticks_of(stat: &str) -> u64 {
    stat.split(' ').skip(11).take(4).map(|field| field.parse::<u64>().unwrap_or(0)).sum()
}

/// The same of all descendants that are there.
fn descendants_ticks() -> u64 {
    let mut processes: HashMap<u32, Vec<(u32, u64)>> = HashMap::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        // The name, in parentheses, may hold anything.
        let Some((_, rest)) = stat.rsplit_once(") ") else { continue };
        let parent = rest.split(' ').nth(1).and_then(|field| field.parse().ok()).unwrap_or(0);
        processes.entry(parent).or_default().push((pid, ticks_of(rest)));
    }
    let (mut ticks, mut parents) = (0, vec![std::process::id()]);
    while let Some(parent) = parents.pop() {
        for (pid, of_process) in processes.remove(&parent).unwrap_or_default() {
            ticks += of_process;
            parents.push(pid);
        }
    }
    ticks
}
