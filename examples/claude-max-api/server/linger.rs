//! The end of a connection whose client still sends: it must get to read the answer first.
//!
//! A system that closes a socket with bytes unread resets the connection, and the client may never see the answer that
//! was sent before. Clients that write their whole request before they read (Python's http.client) would meet a broken
//! pipe instead of the 413. So, as nginx does, the rest is read and dropped, within bounds.

use std::time::Duration;

use super::socket::Socket;

/// How many bytes are read and dropped: reading them is a fraction of a second's work, and no upload that is a mistake
/// rather than an attack is larger.
const MOST_BYTES: usize = 128 * 1024 * 1024;

/// How long this may take in all. It is an idle connection meanwhile, and goes where others need the room.
const LONGEST: Duration = Duration::from_secs(30);

/// How long the client may send nothing.
const SILENCE: Duration = Duration::from_secs(5);

/// Tells the client that nothing more comes, and drops what it sends until it has noticed.
pub(super) async fn linger(socket: &Socket) {
    if socket.close_writing().is_err() {
        return;
    }
    let rest = async {
        let mut buffer = vec![0; 64 * 1024];
        let mut dropped = 0;
        while dropped < MOST_BYTES {
            match tokio::time::timeout(SILENCE, socket.read(&mut buffer)).await {
                Ok(Ok(read @ 1..)) => dropped += read,
                // It has closed its end, or failed, or says nothing.
                _ => return,
            }
        }
        tracing::debug!("a client sent on and on behind a request that was refused");
    };
    let _ = tokio::time::timeout(LONGEST, rest).await;
}
