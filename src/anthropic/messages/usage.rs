//! Token counts in Anthropic's form.

use serde::{Serialize, Serializer};

use crate::Usage;

/// The counts of an answer. Anthropic's `input_tokens` do not include tokens read from or written to the prompt cache.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UsageBody(pub(crate) Usage);

/// The same at the end of a stream, where Anthropic does not repeat how long the written tokens stay cached.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FinalUsageBody(pub(crate) Usage);

impl Serialize for UsageBody {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Body::of(&self.0, true).serialize(serializer)
    }
}

impl Serialize for FinalUsageBody {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Body::of(&self.0, false).serialize(serializer)
    }
}

#[derive(Serialize)]
struct Body {
    input_tokens: u64,
    cache_creation_input_tokens: u64,
    cache_read_input_tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_creation: Option<CacheCreation>,
    output_tokens: u64,
    output_tokens_details: OutputDetails,
}

#[derive(Serialize)]
struct CacheCreation {
    ephemeral_5m_input_tokens: u64,
    ephemeral_1h_input_tokens: u64,
}

#[derive(Serialize)]
struct OutputDetails {
    thinking_tokens: u64,
}

impl Body {
    fn of(usage: &Usage, lifetimes: bool) -> Self {
        let cached = usage.cached_tokens.saturating_add(usage.cache_write_tokens);
        Body {
            input_tokens: usage.prompt_tokens.saturating_sub(cached),
            cache_creation_input_tokens: usage.cache_write_tokens,
            cache_read_input_tokens: usage.cached_tokens,
            cache_creation: lifetimes.then(|| CacheCreation {
                ephemeral_5m_input_tokens: usage.cache_write_tokens.saturating_sub(usage.cache_write_1h_tokens),
                ephemeral_1h_input_tokens: usage.cache_write_1h_tokens,
            }),
            output_tokens: usage.completion_tokens,
            output_tokens_details: OutputDetails { thinking_tokens: usage.reasoning_tokens },
        }
    }
}
