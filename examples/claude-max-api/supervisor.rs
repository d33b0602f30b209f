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

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::Stdio;
    use std::sync::{Arc, Barrier};

    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
    use tokio::net::UnixDatagram;
    use tokio::process::Command;

    use super::*;

    async fn in_time<T>(future: impl Future<Output = T>) -> T {
        tokio::time::timeout(Duration::from_secs(180), future).await.expect("it comes in time")
    }

    /// What systemd is told next.
    async fn told(systemd: &UnixDatagram) -> String {
        let mut message = [0; 4096];
        let length = in_time(systemd.recv(&mut message)).await.unwrap();
        String::from_utf8(message[..length].to_vec()).unwrap()
    }

    /// A program whose runtime is stuck between one line on its standard input and the next: no worker gets to any task.
    #[test]
    #[ignore = "a program for the next test, which starts it"]
    fn a_runtime_that_gets_stuck() {
        const WORKERS: usize = 2;
        let wait_for_line = || std::io::stdin().read_line(&mut String::new()).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build().unwrap();
        runtime.spawn(stay_alive());
        wait_for_line();
        let (stuck, free) = (Arc::new(Barrier::new(WORKERS + 1)), Arc::new(Barrier::new(WORKERS + 1)));
        for _ in 0..WORKERS {
            let (stuck, free) = (Arc::clone(&stuck), Arc::clone(&free));
            runtime.spawn(async move {
                stuck.wait();
                free.wait();
            });
        }
        stuck.wait();
        // Past the test harness, which would keep it to itself.
        std::io::stdout().write_all(b"stuck\n").unwrap();
        wait_for_line();
        free.wait();
        wait_for_line();
    }

    #[tokio::test]
    async fn it_is_not_told_that_the_server_is_alive_while_no_task_gets_its_turn() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("notify");
        let systemd = UnixDatagram::bind(&socket).unwrap();
        let mut program = Command::new(std::env::current_exe().unwrap());
        program.args(["--exact", "supervisor::tests::a_runtime_that_gets_stuck", "--ignored", "--nocapture"]);
        program.env("NOTIFY_SOCKET", &socket).env("WATCHDOG_USEC", "20000").env_remove("WATCHDOG_PID");
        program.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut program = program.spawn().unwrap();
        let mut stdin = program.stdin.take().unwrap();
        let mut lines = BufReader::new(program.stdout.take().unwrap()).lines();
        for _ in 0..3 {
            assert_eq!(told(&systemd).await.trim_end(), "WATCHDOG=1");
        }

        stdin.write_all(b"\n").await.unwrap();
        while in_time(lines.next_line()).await.unwrap().expect("it is stuck some time") != "stuck" {}
        // What it said before may still lie here; then it says nothing for twenty times as long as it should.
        let mut message = [0; 64];
        let mut before = 0;
        while tokio::time::timeout(Duration::from_millis(200), systemd.recv(&mut message)).await.is_ok() {
            before += 1;
            assert!(before < 100, "it goes on saying that it is alive");
        }

        stdin.write_all(b"\n").await.unwrap();
        assert_eq!(told(&systemd).await.trim_end(), "WATCHDOG=1");
        stdin.write_all(b"\n").await.unwrap();
        assert!(in_time(program.wait()).await.unwrap().success());
    }
}
