//! Work on large requests, off the threads that serve all others.

use std::sync::LazyLock;

use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tracing::Span;

use crate::{Error, ErrorKind};

/// Up to so many bytes take less than it takes to notice: a few milliseconds at most.
const LARGE: usize = 256 * 1024;

/// As much of it as there are CPUs, in all: more at once would be no faster, and take more memory.
static PLACES: LazyLock<Semaphore> = LazyLock::new(|| {
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    Semaphore::new(cpus.min(Semaphore::MAX_PERMITS))
});

/// Does work that takes time in proportion to so many bytes.
///
/// If the caller goes before the work has begun, it never does. Work that has begun ends by itself, so what takes longer
/// than a fraction of a second for the largest request is given here in several parts.
pub(crate) async fn run<T: Send + 'static>(
    bytes: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    // Outside tokio there are no workers to keep free.
    if bytes < LARGE || Handle::try_current().is_err() {
        return Ok(work());
    }
    // Boxed, since it is rare and larger than all else that callers wait in.
    Box::pin(on_another_thread(work)).await
}

async fn on_another_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
    let failed = |error: &dyn std::fmt::Display| {
        Error::new(ErrorKind::Internal, format!("A large request was not worked on: {error}. Send it again."))
    };
    let place = PLACES.acquire().await.map_err(|error| failed(&error))?;
    let span = Span::current();
    let mut task = AbortOnDrop(tokio::task::spawn_blocking(move || {
        // Held by the work, not by the caller, who may be gone before the work has ended.
        let _place = place;
        span.in_scope(work)
    }));
    (&mut task.0).await.map_err(|error| match error.try_into_panic() {
        // It is the request's own, as it would be without another thread.
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(error) => failed(&error),
    })
}

struct AbortOnDrop<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, mpsc};

    use futures_util::future::join_all;

    use super::*;

    #[tokio::test]
    async fn large_work_is_on_another_thread_and_small_work_is_not() {
        let here = std::thread::current().id();
        assert_eq!(run(LARGE - 1, || std::thread::current().id()).await, Ok(here));
        assert_ne!(run(LARGE, || std::thread::current().id()).await, Ok(here));
    }

    #[tokio::test]
    async fn no_more_of_it_is_done_at_once_than_there_are_cpus() {
        let cpus = std::thread::available_parallelism().unwrap().get();
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let works = (0..4 * cpus).map(|_| {
            let (now, most) = (Arc::clone(&now), Arc::clone(&most));
            run(LARGE, move || {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                std::thread::yield_now();
                now.fetch_sub(1, Ordering::SeqCst);
            })
        });
        assert!(join_all(works).await.iter().all(Result::is_ok));
        assert!(most.load(Ordering::SeqCst) <= cpus);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn what_nobody_waits_for_any_more_never_begins() {
        let cpus = std::thread::available_parallelism().unwrap().get();
        let (begun, begins) = mpsc::channel();
        let mut blocked = Vec::new();
        for _ in 0..cpus {
            let begun = begun.clone();
            let (let_go, wait) = mpsc::channel::<()>();
            let work = tokio::spawn(run(LARGE, move || {
                begun.send("first").unwrap();
                let _ = wait.recv();
            }));
            blocked.push((work, let_go));
        }
        drop(tokio::task::block_in_place(|| begins.iter().take(cpus).collect::<Vec<_>>()));
        let gone = tokio::spawn(run(LARGE, move || begun.send("second").unwrap()));
        tokio::task::yield_now().await;
        gone.abort();
        assert!(gone.await.unwrap_err().is_cancelled());
        for (work, let_go) in blocked {
            drop(let_go);
            work.await.unwrap().unwrap();
        }
        assert_eq!(begins.try_recv(), Err(mpsc::TryRecvError::Disconnected));
    }
}
