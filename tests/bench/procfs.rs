//! What Linux says of processes: CPU time, memory, children, and whether they have gone quiet.

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

/// User and system time of all descendants that are there, in clock ticks.
fn descendants_ticks() -> u64 {
    let mut processes: HashMap<u32, Vec<(u32, u64)>> = HashMap::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        // The name, in parentheses, may hold anything.
        let Some((_, rest)) = stat.rsplit_once(") ") else { continue };
        let fields: Vec<&str> = rest.split(' ').collect();
        let number = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
        processes.entry(number(1) as u32).or_default().push((pid, number(11) + number(12)));
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
