//! All that an operator wants to see: health, the conversations that processes hold, and what has happened so far.

use std::time::Duration;

use serde::{Serialize, Serializer};
use tokio::time::Instant;

use super::{Health, Pool, ProcessEvents};

/// The state of a [`ClaudeCli`](crate::cli::ClaudeCli) in full. It contains nothing that anybody said.
///
/// ```
/// use tower_claude::cli::{ClaudeCli, ConversationState};
///
/// let status = ClaudeCli::default().status();
/// let waits_for_a_client = status.conversations.iter().filter(|held| held.state == ConversationState::Parked);
/// assert_eq!((waits_for_a_client.count(), status.events.starts), (0, 0));
/// ```
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Status {
    /// Its health.
    #[serde(flatten)]
    pub health: Health,
    /// The conversations that processes hold between turns, the most recently used first.
    pub conversations: Vec<ConversationStatus>,
    /// What has happened to processes so far.
    pub events: ProcessEvents,
}

/// A conversation that a process holds between turns.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct ConversationStatus {
    /// What it waits for.
    pub state: ConversationState,
    /// The API that last continued it, if known: `chat_completions`, `responses`, `messages`.
    pub door: Option<&'static str>,
    /// The name of the caller's key, if it has one.
    pub key: Option<String>,
    /// The model, as the API names it.
    pub model: String,
    /// How many answers it has.
    pub turns: usize,
    /// The tokens of its last turn: prompt and answer.
    pub tokens: u64,
    /// How long the process has held it.
    #[serde(rename = "age_seconds", serialize_with = "seconds")]
    pub age: Duration,
    /// How long ago its last turn ended.
    #[serde(rename = "silent_seconds", serialize_with = "seconds")]
    pub silent: Duration,
}

/// What a conversation waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ConversationState {
    /// Its next message.
    Live,
    /// The result of a function that the client runs.
    Parked,
}

fn seconds<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(time.as_secs())
}

impl Pool {
    pub(crate) fn status(&self) -> Status {
        let now = Instant::now();
        let shared = &self.shared;
        let mut conversations: Vec<ConversationStatus> = {
            let state = shared.lock();
            let held = state.live.iter().map(|(pooled, held)| ConversationStatus {
                state: if held.pending.is_some() { ConversationState::Parked } else { ConversationState::Live },
                door: held.door,
                key: held.caller_name().map(str::to_owned),
                model: held.answered_by.clone(),
                turns: held.answers,
                tokens: held.tokens,
                age: now.saturating_duration_since(pooled.holds_since.unwrap_or(held.silent_since)),
                silent: now.saturating_duration_since(held.silent_since),
            });
            held.collect()
        };
        conversations.reverse();
        Status { health: self.health(), conversations, events: shared.tally.so_far() }
    }
}
