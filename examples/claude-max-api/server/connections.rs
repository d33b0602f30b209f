//! All connections: how many there may be, which one gives way when there is no room, and which have ended unnoticed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

use super::socket::Socket;

/// The connections that are open.
pub(super) struct Connections {
    most: usize,
    open: Mutex<Open>,
    /// One has ended, or become idle.
    changed: Notify,
}

#[derive(Default)]
struct Open {
    by_number: HashMap<u64, Arc<Connection>>,
    next: u64,
}

/// What is known of one connection.
pub(super) struct Connection {
    pub(super) socket: Arc<Socket>,
    stage: Mutex<Stage>,
    close: Notify,
}

/// The state of a connection.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Stage {
    /// It has waited for a request since then, and may have part of its head.
    Idle(Instant),
    /// A request's body is still to come.
    Receiving,
    /// A whole request has come, and its answer has not been sent completely.
    Answering,
    /// It was told to close.
    Closing,
}

impl Connection {
    pub(super) fn stage(&self) -> Stage {
        *self.lock()
    }

    /// Its task waits for this, and ends.
    pub(super) async fn told_to_close(&self) {
        self.close.notified().await;
    }

    fn tell_to_close(&self) {
        *self.lock() = Stage::Closing;
        self.close.notify_one();
    }

    /// Whether closing it now would cut off an answer.
    fn answers(&self) -> bool {
        self.stage() == Stage::Answering || self.socket.has_unread()
    }

    fn lock(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connections {
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Connections { most, open: Mutex::default(), changed: Notify::new() })
    }

    /// Adds one, once there is room: the one that has been idle longest gives way to it.
    pub(super) async fn add(self: &Arc<Self>, socket: Arc<Socket>) -> Entry {
        let mut warned = false;
        loop {
            let changed = self.changed.notified();
            {
                let mut open = self.lock();
                if open.by_number.len() < self.most {
                    let number = open.next;
                    open.next += 1;
                    let stage = Mutex::new(Stage::Idle(Instant::now()));
                    let connection = Arc::new(Connection { socket, stage, close: Notify::new() });
                    open.by_number.insert(number, Arc::clone(&connection));
                    return Entry { connections: Arc::clone(self), connection, number };
                }
                let closing = open.by_number.values().any(|other| other.stage() == Stage::Closing);
                if !closing && !open.close_oldest_idle() && !warned {
                    tracing::warn!(most = self.most, "all connections are at work: new ones wait");
                    warned = true;
                }
            }
            changed.await;
        }
    }

    /// Ends the one that has been idle longest, if there is one.
    pub(super) fn close_oldest_idle(&self) -> bool {
        self.lock().close_oldest_idle()
    }

    /// Ends those whose client is gone, which a connection does not notice while there are unread bytes.
    pub(super) fn close_hung_up(&self) {
        for connection in self.lock().by_number.values() {
            if matches!(connection.stage(), Stage::Receiving | Stage::Answering) && connection.socket.hung_up() {
                tracing::debug!("a client is gone that had sent more than its request");
                connection.tell_to_close();
            }
        }
    }

    /// Ends those that are not answering.
    pub(super) fn close_without_answers(&self) {
        self.lock().by_number.values().filter(|connection| !connection.answers()).for_each(|it| it.tell_to_close());
    }

    /// How many answers have not been sent completely.
    pub(super) fn answers(&self) -> usize {
        self.lock().by_number.values().filter(|connection| connection.answers()).count()
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn close_oldest_idle(&self) -> bool {
        let idle = self.by_number.values().filter_map(|connection| match connection.stage() {
            Stage::Idle(since) => Some((since, connection)),
            _ => None,
        });
        let Some((since, oldest)) = idle.min_by_key(|(since, _)| *since) else { return false };
        tracing::debug!(idle = ?since.elapsed(), "a connection goes to make room");
        oldest.tell_to_close();
        true
    }
}

/// A connection's place, given back when this is dropped.
pub(super) struct Entry {
    connections: Arc<Connections>,
    connection: Arc<Connection>,
    number: u64,
}

impl Entry {
    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Sets the state of the connection. One that was told to close stays in that state.
    pub(super) fn set(&self, stage: Stage) {
        let mut current = self.connection.lock();
        if *current != Stage::Closing {
            *current = stage;
        }
        drop(current);
        if matches!(stage, Stage::Idle(_)) {
            self.connections.changed.notify_waiters();
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.connections.lock().by_number.remove(&self.number);
        self.connections.changed.notify_waiters();
    }
}
