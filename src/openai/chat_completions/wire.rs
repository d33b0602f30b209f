//! The JSON of an answer, as OpenAI's schema has it: the completion, its message, its usage.

use serde::{Serialize, Serializer};

use crate::Usage;

/// A whole answer.
#[derive(Debug, Serialize)]
pub(crate) struct Completion {
    pub(crate) id: String,
    pub(crate) object: &'static str,
    pub(crate) created: u64,
    pub(crate) model: String,
    pub(crate) choices: Vec<Choice>,
    pub(crate) usage: UsageBody,
}

/// One of its choices.
#[derive(Debug, Serialize)]
pub(crate) struct Choice {
    pub(crate) index: usize,
    pub(crate) message: AnswerMessage,
    // Log probabilities are refused in the request; the key itself is required.
    pub(crate) logprobs: (),
    pub(crate) finish_reason: &'static str,
}

/// The message of a choice.
#[derive(Debug, Serialize)]
pub(crate) struct AnswerMessage {
    pub(crate) role: &'static str,
    pub(crate) content: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reasoning_content: Option<String>,
    pub(crate) refusal: (),
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) tool_calls: Vec<Call>,
    pub(crate) annotations: [(); 0],
}

/// One of a message's calls.
#[derive(Debug, Serialize)]
pub(crate) struct Call {
    pub(crate) id: String,
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    pub(crate) function: CallBody,
}

/// The function that is called, and its arguments.
#[derive(Debug, Serialize)]
pub(crate) struct CallBody {
    pub(crate) name: String,
    pub(crate) arguments: String,
}

/// Token counts in OpenAI's form.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UsageBody(pub(crate) Usage);

impl Serialize for UsageBody {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Body {
            prompt_tokens: u64,
            completion_tokens: u64,
            total_tokens: u64,
            prompt_tokens_details: Prompt,
            completion_tokens_details: Answer,
        }
        #[derive(Serialize)]
        struct Prompt {
            cached_tokens: u64,
            cache_write_tokens: u64,
            audio_tokens: u64,
        }
        #[derive(Serialize)]
        struct Answer {
            reasoning_tokens: u64,
            audio_tokens: u64,
            accepted_prediction_tokens: u64,
            rejected_prediction_tokens: u64,
        }
        let usage = &self.0;
        Body {
            prompt_tokens: usage.prompt_tokens,
            completion_tokens: usage.completion_tokens,
            total_tokens: usage.prompt_tokens.saturating_add(usage.completion_tokens),
            prompt_tokens_details: Prompt {
                cached_tokens: usage.cached_tokens,
                cache_write_tokens: usage.cache_write_tokens,
                audio_tokens: 0,
            },
            completion_tokens_details: Answer {
                reasoning_tokens: usage.reasoning_tokens,
                audio_tokens: 0,
                accepted_prediction_tokens: 0,
                rejected_prediction_tokens: 0,
            },
        }
        .serialize(serializer)
    }
}
