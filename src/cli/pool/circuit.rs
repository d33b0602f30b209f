//! A circuit breaker for starting processes: whether that works, and how long to wait when it does not.

use std::time::Duration;

use tokio::time::Instant;

use crate::{Error, ErrorKind};

/// After this many failures in a row, requests are refused until a start works. One may try after each pause.
const OPENS_AFTER: u32 = 3;

/// The longest pause between attempts.
const MAX_PAUSE: Duration = Duration::from_secs(60);

/// Counts the starts that failed since one last worked.
#[derive(Debug, Default)]
pub(super) struct Circuit {
    failures: u32,
    last: Option<Failure>,
}

#[derive(Debug)]
struct Failure {
    at: Instant,
    retry_at: Instant,
    error: Error,
}

impl Circuit {
    /// A process started at `started` ended before it had answered anything, or could not be started.
    ///
    /// Processes that were started together count once.
    pub(super) fn failed(&mut self, started: Instant, error: Error) {
        if self.last.as_ref().is_none_or(|last| last.at <= started) {
            self.failures = self.failures.saturating_add(1);
        }
        let now = Instant::now();
        self.last = Some(Failure { at: now, retry_at: now + self.pause(), error });
    }

    /// A process has answered.
    pub(super) fn worked(&mut self) {
        *self = Circuit::default();
    }

    pub(super) fn is_open(&self) -> bool {
        self.failures >= OPENS_AFTER
    }

    /// No warm process is started before this.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.last.as_ref().map(|last| last.retry_at)
    }

    /// Whether a process may be started for a request. While the circuit is open, one request may try after each pause; the
    /// error tells the others why, and when to try again.
    pub(super) fn check(&self) -> Result<(), Error> {
        let Some(last) = self.last.as_ref().filter(|_| self.is_open()) else { return Ok(()) };
        let wait = last.retry_at.saturating_duration_since(Instant::now());
        if wait.is_zero() {
            return Ok(());
        }
        let message = format!(
            "Claude Code failed to start {} times in a row, and is tried again in {} s. The last time: {}",
            self.failures,
            wait.as_secs_f64().ceil(),
            last.error
        );
        Err(Error::new(ErrorKind::Cli, message).with_retry_after(wait))
    }

    /// Like `check`, for a process that is started now: while the circuit is open, no other may start until the next pause
    /// is over.
    pub(super) fn try_start(&mut self) -> Result<(), Error> {
        self.check()?;
        let (open, pause) = (self.is_open(), self.pause());
        if let Some(last) = self.last.as_mut().filter(|_| open) {
            last.retry_at = Instant::now() + pause;
        }
        Ok(())
    }

    /// The last failure, if it is no older than `then`.
    pub(super) fn failure_since(&self, then: Instant) -> Option<&Error> {
        self.last.as_ref().filter(|last| last.at >= then).map(|last| &last.error)
    }

    fn pause(&self) -> Duration {
        Duration::from_millis(250).saturating_mul(1 << self.failures.min(10)).min(MAX_PAUSE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(circuit: &mut Circuit) {
        circuit.failed(Instant::now(), Error::new(ErrorKind::Cli, "It broke."));
    }

    #[tokio::test(start_paused = true)]
    async fn three_failures_in_a_row_refuse_all_but_one_request_after_each_pause() {
        let mut circuit = Circuit::default();
        for pause in [500, 1000] {
            failed(&mut circuit);
            assert_eq!(circuit.retry_at(), Some(Instant::now() + Duration::from_millis(pause)));
            assert!(!circuit.is_open() && circuit.try_start().is_ok());
        }
        failed(&mut circuit);
        assert!(circuit.is_open());
        let refused = circuit.try_start().unwrap_err();
        assert_eq!((refused.kind(), refused.retry_after()), (ErrorKind::Cli, Some(Duration::from_secs(2))));
        assert!(refused.to_string().contains("3 times in a row") && refused.to_string().contains("It broke."));
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!(circuit.try_start().is_ok());
        assert!(circuit.try_start().is_err(), "one, until it is known what became of it");
        circuit.worked();
        assert!(!circuit.is_open() && circuit.try_start().is_ok() && circuit.retry_at().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn starts_that_fail_together_count_once() {
        let mut circuit = Circuit::default();
        let together = Instant::now();
        tokio::time::advance(Duration::from_millis(100)).await;
        for _ in 0..8 {
            circuit.failed(together, Error::new(ErrorKind::Cli, "It broke."));
        }
        assert!(!circuit.is_open());
    }

    #[tokio::test(start_paused = true)]
    async fn the_pause_ends_at_a_minute() {
        let mut circuit = Circuit::default();
        for _ in 0..40 {
            failed(&mut circuit);
        }
        assert_eq!(circuit.retry_at(), Some(Instant::now() + MAX_PAUSE));
    }
}
