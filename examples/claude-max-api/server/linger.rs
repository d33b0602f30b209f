//! Ends a connection whose client is still sending, so that the client can read the answer first.
//!
//! If a socket is closed with bytes unread, the system resets the connection, and the client may never see the answer that was
//! sent before. Clients that write their whole request before they read (Python's http.client) would see a broken pipe instead
//! of the 413. So the rest is read and dropped, within bounds, as nginx does it.

use std::time::Duration;

use super::socket::Socket;

/// How many bytes are read and dropped. Reading them takes a fraction of a second, and no honest mistake is larger.
const MAX_BYTES: usize = 128 * 1024 * 1024;

/// How long this may take in all. Meanwhile it counts as an idle connection, which gives way to others.
const MAX_TIME: Duration = Duration::from_secs(30);

/// How long the client may be silent.
const SILENCE: Duration = Duration::from_secs(5);

/// Tells the client that nothing more comes, and drops what it sends until it notices.
pub(super) async fn linger(socket: &Socket) {
    if socket.close_writing().is_err() {
        return;
    }
    let rest = async {
        let mut buffer = vec![0; 64 * 1024];
        let mut dropped = 0;
        while dropped < MAX_BYTES {
            match tokio::time::timeout(SILENCE, socket.read(&mut buffer)).await {
                Ok(Ok(read @ 1..)) => dropped += read,
                // It has closed its end, failed, or gone silent.
                _ => return,
            }
        }
        tracing::debug!("a client sent on and on behind a request that was refused");
    };
    let _ = tokio::time::timeout(MAX_TIME, rest).await;
}
