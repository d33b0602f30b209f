//! What a turn leaves in the log: how long it waited and took, and nothing of what was said.

use std::io::Write;
use std::sync::{Arc, Mutex};

use crate::chat::{Chat, claude};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_turn_says_how_long_it_waited_to_its_first_token_and_in_all() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone());
    let guard = tracing::subscriber::set_default(subscriber.finish());
    let claude = claude().build();
    let mut chat = Chat::new(&claude);
    chat.say("a secret").await;
    chat.say("another secret").await;
    drop(guard);

    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let turns: Vec<&str> = log.lines().filter(|line| line.contains("the turn is over")).collect();
    assert_eq!(turns.len(), 2, "{log}");
    for (turn, process) in turns.iter().zip(["cold", "live"]) {
        assert!(turn.contains(&format!("process=\"{process}\"")), "{turn}");
        for field in ["pid=", "queue_ms=", "first_token_ms=", "total_ms="] {
            assert!(turn.contains(field), "no {field} in {turn}");
        }
    }
    assert!(!log.contains("secret"), "{log}");
}
