//! Tells systemd, if it started this program with `Type=notify`, when the program serves, that it is alive, and when it ends.
//! Without systemd none of this has any effect.

use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use sd_notify::NotifyState;

/// The variables by which systemd says where it listens. They are meant for this program only.
pub(crate) const VARIABLES: [&str; 3] = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"];

/// Beyond the time that answers are given, until the last process has ended.
const LAST_PROCESSES: Duration = Duration::from_secs(10);

/// How many messages may wait to be sent.
const WAITING: usize = 16;

/// What systemd is told.
enum Word {
    Serving(String),
    Alive,
    Ending(Duration),
}

/// It serves, there.
pub(crate) fn serving(at: &str) {
    tell(Word::Serving(at.to_owned()));
}

/// It ends, which may take as long as this.
pub(crate) fn ending(within: Duration) {
    tell(Word::Ending(within + LAST_PROCESSES));
}

/// Reports regularly that the program is alive, if systemd wants that: as long as the runtime runs this task.
pub(crate) async fn stay_alive() {
    let Some(limit) = sd_notify::watchdog_enabled().filter(|limit| !limit.is_zero()) else { return };
    let mut ticks = tokio::time::interval(limit / 2);
    loop {
        ticks.tick().await;
        tell(Word::Alive);
    }
}

/// Sends it from a thread of its own, so nothing else waits if systemd does not listen.
fn tell(word: Word) {
    static WORDS: OnceLock<SyncSender<Word>> = OnceLock::new();
    if std::env::var_os(VARIABLES[0]).is_none() {
        return;
    }
    let words = WORDS.get_or_init(|| {
        let (words, waiting) = sync_channel(WAITING);
        // Without the thread systemd is told nothing, and takes the program for dead.
        let _ = std::thread::Builder::new().name("systemd".to_owned()).spawn(move || tell_all(&waiting));
        words
    });
    // If that many wait, one more makes no difference.
    let _ = words.try_send(word);
}

fn tell_all(words: &Receiver<Word>) {
    while let Ok(word) = words.recv() {
        let told = match &word {
            Word::Serving(at) => sd_notify::notify(&[NotifyState::Ready, NotifyState::Status(at)]),
            Word::Alive => sd_notify::notify(&[NotifyState::Watchdog]),
            Word::Ending(within) => {
                let within = u32::try_from(within.as_micros()).unwrap_or(u32::MAX);
                sd_notify::notify(&[NotifyState::Stopping, NotifyState::ExtendTimeoutUsec(within)])
            }
        };
        if let Err(error) = told {
            tracing::warn!(%error, "cannot tell systemd how this server is doing");
        }
    }
}
