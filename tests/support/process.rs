//! Looks up processes in `/proc`: which run, and which are dead or about to die.

use rustix::process::{Pid, Signal, kill_process};

/// Whether a process runs. A zombie does not, nor does one with a SIGKILL pending.
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

/// Whether it is a child of the current process, running or a zombie.
pub fn is_child(pid: u32) -> bool {
    stat(pid).is_some_and(|(_, parent)| parent == std::process::id())
}

/// The state and parent of a process, if it exists.
pub fn stat(pid: u32) -> Option<(char, u32)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may itself contain spaces and parentheses.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

/// The children of a process, zombies included.
pub fn children(parent: u32) -> Vec<u32> {
    let all = std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    all.filter(|pid| stat(*pid).is_some_and(|(_, of)| of == parent)).collect()
}

/// The mark of the pool that started a process.
pub fn mark(pid: u32) -> Option<String> {
    let environment = std::fs::read_to_string(format!("/proc/{pid}/environ")).ok()?;
    environment.split('\0').find_map(|set| set.strip_prefix("TOWER_CLAUDE_POOL=")).map(str::to_owned)
}

/// The shells that watch over the pool with this mark.
pub fn watching(mark: &str) -> Vec<u32> {
    let all = std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    let names_it = |pid: &u32| {
        std::fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.split('\0').any(|of| of == mark))
    };
    all.filter(names_it).collect()
}
