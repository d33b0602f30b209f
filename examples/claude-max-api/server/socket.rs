//! A client's socket: a client must read what is written in time, and one that is gone is noticed, whatever is left unread.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

/// How much may wait in the kernel for a client that does not read. With megabytes waiting, a slow reader would look for minutes
/// as if it read nothing.
const KERNEL_BUFFER: usize = 16 * 1024;

/// After this silence the kernel asks whether the other machine is still there.
const PROBE_AFTER: Duration = Duration::from_secs(60);

/// A client's socket, shared by the connection that uses it and the tasks that watch it.
pub(super) struct Socket {
    /// Locked for one call at a time. tokio's `poll_read` and `poll_write`, which want it mutable, know after a short read or
    /// write that there is no more, and do not ask the system again.
    stream: Mutex<TcpStream>,
    client: SocketAddr,
    /// Whether bytes of an answer wait here for the client to read.
    unread: AtomicBool,
}

impl Socket {
    /// Sets the options of a connection. Those that a system does not have are left out.
    pub(super) fn new(stream: TcpStream, client: SocketAddr) -> Arc<Self> {
        // The deltas of a stream are small, and each must be sent at once.
        let _ = stream.set_nodelay(true);
        let options = SockRef::from(&stream);
        let _ = options.set_tcp_keepalive(&TcpKeepalive::new().with_time(PROBE_AFTER));
        #[cfg(target_os = "linux")]
        let _ = options.set_tcp_notsent_lowat(KERNEL_BUFFER as u32);
        #[cfg(not(target_os = "linux"))]
        let _ = options.set_send_buffer_size(4 * KERNEL_BUFFER);
        Arc::new(Socket { stream: Mutex::new(stream), client, unread: AtomicBool::new(false) })
    }

    /// Whether the client has closed its end, however many bytes it left before that.
    pub(super) fn hung_up(&self) -> bool {
        let ready = self.stream().ready(Interest::READABLE).now_or_never();
        ready.is_some_and(|ready| ready.map_or(true, |ready| ready.is_read_closed()))
    }

    /// Whether the client reads an answer more slowly than it is written.
    pub(super) fn has_unread(&self) -> bool {
        self.unread.load(Ordering::Relaxed)
    }

    /// Tells the client that nothing more comes.
    pub(super) fn close_writing(&self) -> io::Result<()> {
        SockRef::from(&*self.stream()).shutdown(std::net::Shutdown::Write)
    }

    /// Reads some bytes; 0 if the client has closed its end.
    pub(super) async fn read(&self, bytes: &mut [u8]) -> io::Result<usize> {
        let mut buf = ReadBuf::new(bytes);
        poll_fn(|cx| Pin::new(&mut *self.stream()).poll_read(cx, &mut buf)).await?;
        Ok(buf.filled().len())
    }

    fn stream(&self) -> MutexGuard<'_, TcpStream> {
        self.stream.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The socket as a connection reads and writes it.
pub(super) struct Io {
    socket: Arc<Socket>,
    unread_timeout: Duration,
    /// Runs while `unread`. Its allocation is kept for the next time.
    patience: Option<Pin<Box<Sleep>>>,
}

impl Io {
    /// Its writes fail once the client has read nothing for `unread_timeout`.
    pub(super) fn new(socket: Arc<Socket>, unread_timeout: Duration) -> Self {
        Io { socket, unread_timeout, patience: None }
    }

    /// Ready when nothing could be written for too long.
    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let deadline = || Instant::now() + self.unread_timeout;
        let patience = self.patience.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline())));
        if !self.socket.unread.swap(true, Ordering::Relaxed) {
            patience.as_mut().reset(deadline());
        }
        patience.as_mut().poll(cx).map(|()| {
            let (client, waited) = (self.socket.client, self.unread_timeout);
            tracing::warn!(%client, "a client has read nothing of its answer for {waited:?}: its connection is closed");
            io::ErrorKind::TimedOut.into()
        })
    }

    /// What a write has come to: its client's patience counts while the kernel takes nothing.
    fn written(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if written.is_pending() {
            return self.poll_patience(cx).map(Err);
        }
        self.socket.unread.store(false, Ordering::Relaxed);
        written
    }
}

impl AsyncRead for Io {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.socket.stream()).poll_read(cx, buf)
    }
}

impl AsyncWrite for Io {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut *self.socket.stream()).poll_write(cx, bytes);
        self.written(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut *self.socket.stream()).poll_write_vectored(cx, pieces);
        self.written(cx, written)
    }

    /// Otherwise hyper would copy all that it writes into a buffer, and keep that, at its largest, with the connection.
    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.socket.close_writing())
    }
}
