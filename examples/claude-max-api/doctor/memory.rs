//! Whether the machine has the memory that Claude Code's processes may use.

use super::report::Report;
use crate::flags::Processes;

/// A process's own memory after some turns, and the memory that all processes share, in bytes (2.1.328).
const OWN: u64 = 110_000_000;
const SHARED: u64 = 82_000_000;

pub(super) fn examine(processes: &Processes, report: &mut Report) {
    let count = processes.max_processes;
    let all = SHARED.saturating_add(OWN.saturating_mul(count as u64));
    let most = processes.max_memory.map(|mebibytes| u64::from(mebibytes) * 1024 * 1024).filter(|most| *most < all);
    let wanted = match most {
        Some(most) => format!("--max-memory lets processes hold {} together", mebibytes(most)),
        None => format!("{count} processes (--max-processes) hold some {} after some turns", mebibytes(all)),
    };
    match available() {
        None => report.ok("memory", &format!("{wanted}; this system does not say what it has.")),
        Some(available) if available < most.unwrap_or(all) => {
            let message = format!("{wanted}, and {} are available.", mebibytes(available));
            report.note("memory", &message, "Set --max-memory to what they may have, or lower --max-processes.");
        }
        Some(available) => report.ok("memory", &format!("{wanted}, and {} are available.", mebibytes(available))),
    }
}

/// The memory available on this machine or, if less, allowed to this container, in bytes.
fn available() -> Option<u64> {
    let machine = mem_available(&std::fs::read_to_string("/proc/meminfo").ok()?)?;
    let container = std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok().and_then(|max| max.trim().parse().ok());
    Some(machine.min(container.unwrap_or(u64::MAX)))
}

fn mem_available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
}

/// In the unit of `--max-memory`.
fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes / 1024 / 1024)
}
