//! Processes as the kernel shows them: which are there, which are about to be gone.

use rustix::process::{Pid, Signal, kill_process};

/// Whether a process runs. One that is dead and not yet reaped does not, nor does one with its death before it.
pub fn runs(pid: u32) -> bool {
    const KILL: u64 = 1 << 8;
    let Ok(status) = std::fs::read_to_string(format!("/proc/{pid}/status")) else { return false };
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim();
    let pending = |name| u64::from_str_radix(field(name), 16).unwrap_or(0);
    !field("State:").starts_with(['Z', 'X']) && (pending("SigPnd:") | pending("ShdPnd:")) & KILL == 0
}

/// Kills one process, as an out-of-memory killer would.
pub fn kill(pid: u32) {
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), Signal::KILL).unwrap();
}

/// Whether this process still has it for a child: it runs, or is dead and not yet reaped.
pub fn is_child(pid: u32) -> bool {
    stat(pid).is_some_and(|(_, parent)| parent == std::process::id())
}

/// The state and parent of a process, as long as it is there.
pub fn stat(pid: u32) -> Option<(char, u32)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may have anything in it.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

/// The processes that this one has started, those included that are dead and not yet reaped.
pub fn children(parent: u32) -> Vec<u32> {
    let all = std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    all.filter(|pid| stat(*pid).is_some_and(|(_, of)| of == parent)).collect()
}

/// The mark of the pool that a process was started by.
pub fn mark(pid: u32) -> Option<String> {
    let environment = std::fs::read_to_string(format!("/proc/{pid}/environ")).ok()?;
    environment.split('\0').find_map(|set| set.strip_prefix("TOWER_CLAUDE_POOL=")).map(str::to_owned)
}

/// The shell that watches over the pool of this mark.
pub fn watching(mark: &str) -> Vec<u32> {
    let all = std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    let names_it = |pid: &u32| {
        std::fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.split('\0').any(|of| of == mark))
    };
    all.filter(names_it).collect()
}
