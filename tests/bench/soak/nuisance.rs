//! Signals to the processes that answer: killed, asked to end, and stopped, at any moment.

use std::sync::atomic::{AtomicU64, Ordering};

use rustix::process::{Pid, Signal, kill_process};

use super::draw::Draw;
use super::rest::children;

static SENT: AtomicU64 = AtomicU64::new(0);

/// Sends one to some process of this server's now and then, for ever.
pub(crate) async fn signals(server: u32, mut draw: Draw) {
    loop {
        tokio::time::sleep(draw.pause(1200)).await;
        let children = children(server);
        if children.is_empty() {
            continue;
        }
        let signal = draw.one_of(&[Signal::KILL, Signal::KILL, Signal::TERM, Signal::STOP]);
        if send(draw.one_of(&children), signal) {
            SENT.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Lets those go on that were stopped. Says how many signals were sent in all.
pub(crate) fn resume(server: u32) -> u64 {
    for child in children(server) {
        send(child, Signal::CONT);
    }
    SENT.load(Ordering::Relaxed)
}

fn send(pid: u32, signal: Signal) -> bool {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pid.is_some_and(|pid| kill_process(pid, signal).is_ok())
}
