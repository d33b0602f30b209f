//! When requests would have been answered in fair order: first come, first served for one caller, and callers take turns.

use std::collections::VecDeque;
use std::time::Duration;

/// A request, with times from the beginning of the run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    /// Whose it is.
    pub(crate) caller: usize,
    pub(crate) came: Duration,
    /// When the first text of its answer came.
    pub(crate) answered: Duration,
}

impl Asked {
    pub(crate) fn took(&self) -> Duration {
        self.answered.saturating_sub(self.came)
    }
}

/// The same requests, which stand in the order in which they came, had the same answers gone to them in fair order: as many
/// are begun at once as there are `workers`, so whose turn it is was decided when the answer before those was done.
pub(crate) fn fair(asked: &[Asked], workers: usize) -> Vec<Asked> {
    let mut answers: Vec<Duration> = asked.iter().map(|asked| asked.answered).collect();
    answers.sort();
    let mut to_come: VecDeque<Asked> = asked.iter().copied().collect();
    // Each caller that waits, in the order of their turns.
    let mut callers: VecDeque<VecDeque<Asked>> = VecDeque::new();
    let mut fair = Vec::new();
    for (number, answered) in answers.iter().enumerate() {
        let begun = number.checked_sub(workers).map_or(Duration::ZERO, |before| answers[before]);
        while to_come.front().is_some_and(|next| next.came <= begun || callers.is_empty()) {
            let Some(next) = to_come.pop_front() else { break };
            match callers.iter_mut().find(|waiting| waiting[0].caller == next.caller) {
                Some(waiting) => waiting.push_back(next),
                None => callers.push_back(VecDeque::from([next])),
            }
        }
        let Some(mut waiting) = callers.pop_front() else { break };
        fair.extend(waiting.pop_front().map(|next| Asked { answered: *answered, ..next }));
        if !waiting.is_empty() {
            callers.push_back(waiting);
        }
    }
    fair
}
