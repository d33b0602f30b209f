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
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1));
    parent == Some(std::process::id().to_string().as_str())
}
