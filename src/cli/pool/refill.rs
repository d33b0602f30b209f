//! When a warm process that was taken is replaced: not while the turn that took it needs the CPU for its first token.

use std::time::Duration;

use tokio::time::Instant;

/// How long a turn that took a warm process has the CPU to itself, at most. Starting another process costs 0.6 s of CPU,
/// which delays the first token by tens of milliseconds on two cores (measured).
const FIRST_TOKEN_PAUSE: Duration = Duration::from_secs(2);

/// How long after the first token the replacement starts: at first, the token is still on its way to the client.
const REFILL_PAUSE: Duration = Duration::from_millis(100);

/// The time before which no warm process is started.
#[derive(Debug, Default)]
pub(super) struct Refill {
    after: Option<Instant>,
}

impl Refill {
    /// A warm process was taken. A planned start is not put off: turns in quick succession could do that forever.
    pub(super) fn taken(&mut self) {
        let now = Instant::now();
        if self.after.is_none_or(|after| after <= now) {
            self.after = Some(now + FIRST_TOKEN_PAUSE);
        }
    }

    /// The turn has its first token, or is over: the replacement may start soon, and never later than planned.
    pub(super) fn first_token(&mut self) {
        let soon = Instant::now() + REFILL_PAUSE;
        self.after = self.after.map(|after| after.min(soon));
    }

    pub(super) fn after(&self) -> Option<Instant> {
        self.after
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_waits_for_the_first_token_and_a_moment_more_but_two_seconds_at_most() {
        let mut refill = Refill::default();
        let taken = Instant::now();
        refill.taken();
        assert_eq!(refill.after(), Some(taken + FIRST_TOKEN_PAUSE));
        tokio::time::advance(Duration::from_millis(300)).await;
        refill.first_token();
        assert_eq!(refill.after(), Some(taken + Duration::from_millis(400)));
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_puts_off_what_is_planned() {
        let mut refill = Refill::default();
        let taken = Instant::now();
        refill.taken();
        refill.first_token();
        for _ in 0..3 {
            tokio::time::advance(Duration::from_millis(30)).await;
            refill.taken();
            refill.first_token();
            assert_eq!(refill.after(), Some(taken + REFILL_PAUSE));
        }
    }
}
