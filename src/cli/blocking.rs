//! Work on large requests, off the threads that serve all others.

use crate::{Error, ErrorKind};

/// Up to so many bytes take less than it takes to notice: about a millisecond.
const LARGE: usize = 256 * 1024;

/// Does work that takes time in proportion to so many bytes. If the caller goes before the work began, it never does.
pub(crate) async fn run<T: Send + 'static>(
    bytes: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    if bytes < LARGE {
        return Ok(work());
    }
    let mut task = AbortOnDrop(tokio::task::spawn_blocking(work));
    (&mut task.0)
        .await
        .map_err(|error| Error::new(ErrorKind::Internal, format!("A request was not prepared: {error}.")))
}

struct AbortOnDrop<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
