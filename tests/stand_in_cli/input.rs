//! Standard input: read on a thread of its own, since a turn must notice what comes in while it runs.

use std::io::{Read as _, Write as _};
use std::sync::mpsc::{Receiver, channel};

use serde_json::Value;

/// The lines of one read. What is written in one piece arrives in one piece, so that a client that pipelines what it
/// should wait for is found out every time.
pub(crate) type Batch = Vec<Value>;

/// Starts reading; the channel closes where standard input ends.
pub(crate) fn read() -> Receiver<Batch> {
    let (send, receive) = channel();
    let mut log = std::env::var("STAND_IN_LOG").ok().and_then(|path| {
        let path = path.replace("{pid}", &std::process::id().to_string());
        std::fs::OpenOptions::new().create(true).append(true).open(path).ok()
    });
    std::thread::spawn(move || {
        let mut stdin = std::io::stdin().lock();
        let (mut chunk, mut pending) = (vec![0; 256 * 1024], Vec::new());
        while let Ok(length @ 1..) = stdin.read(&mut chunk) {
            pending.extend_from_slice(&chunk[..length]);
            let Some(end) = memchr_last(&pending) else { continue };
            let rest = pending.split_off(end + 1);
            if let Some(log) = &mut log {
                let _ = log.write_all(&pending);
            }
            let lines = pending.split(|&byte| byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
            let batch = lines.map(parse).collect();
            if send.send(batch).is_err() {
                return;
            }
            pending = rest;
        }
    });
    receive
}

fn memchr_last(bytes: &[u8]) -> Option<usize> {
    bytes.iter().rposition(|&byte| byte == b'\n')
}

fn parse(line: &[u8]) -> Value {
    serde_json::from_slice(line).unwrap_or_else(|error| {
        eprintln!("Error parsing streaming input line (type=unknown, {} chars): {error}", line.len());
        std::process::exit(1);
    })
}
