//! How many files this process may have open, and how many connections that leaves room for.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The files that one process takes: three pipes, a handle and its directory, and three more while it is being started.
const FOR_A_PROCESS: u64 = 8;

/// The listener, the runtime's own, standard input and output, and files that are open only for a moment.
const FOR_THE_SERVER: u64 = 32;

/// Fewer connections than this are useless.
const MIN_CONNECTIONS: u64 = 8;

/// The most connections that are possible beside this many processes: `wanted`, or what the system's limit leaves room for.
/// Raises the soft limit if it must and can.
pub(crate) fn room_for_connections(wanted: usize, processes: usize) -> Result<usize, String> {
    let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    let others = count(processes).saturating_mul(FOR_A_PROCESS).saturating_add(FOR_THE_SERVER);
    let needed = others.saturating_add(count(wanted));
    let limit = getrlimit(Resource::Nofile);
    let allowed = limit.current.unwrap_or(u64::MAX);
    if allowed >= needed {
        return Ok(wanted);
    }
    let raised = limit.maximum.unwrap_or(u64::MAX).min(needed);
    let allowed = match setrlimit(Resource::Nofile, Rlimit { current: Some(raised), ..limit }) {
        Ok(()) => raised,
        Err(_) => allowed,
    };
    let room = allowed.saturating_sub(others).min(count(wanted));
    if room < MIN_CONNECTIONS.min(count(wanted)) {
        return Err(format!(
            "This process may have {allowed} files open at once, and {processes} Claude Code processes and the server \
             itself take {others}: raise the limit (`ulimit -n {needed}`), or lower --max-processes."
        ));
    }
    // It is at most `wanted`.
    Ok(usize::try_from(room).unwrap_or(wanted))
}
