//! The plain answer: all events of all choices, gathered into one completion.

use futures_util::StreamExt;

use super::wire::{AnswerMessage, Call, CallBody, Choice, Completion, UsageBody};
use crate::layers::choices::{Choices, Head};
use crate::{ChatEvent, Error, ErrorKind, FinishReason, Usage};

/// Waits for the whole answer. The first failure is the answer's.
pub(crate) async fn collect(head: Head, mut choices: Choices) -> Result<Completion, Error> {
    let mut answers: Vec<Answer> = std::iter::repeat_with(Answer::default).take(choices.len()).collect();
    while let Some(item) = choices.next().await {
        let (index, event) = item?;
        answers[index].push(event)?;
    }
    let mut usage = Usage::default();
    answers.iter().for_each(|answer| usage += answer.usage);
    let choices = answers.into_iter().enumerate().map(|(index, answer)| answer.into_choice(index)).collect();
    Ok(Completion {
        id: head.id,
        object: "chat.completion",
        created: head.created,
        model: head.model,
        choices,
        usage: UsageBody(usage),
    })
}

/// One choice as it grows.
#[derive(Default)]
struct Answer {
    text: String,
    reasoning: String,
    calls: Vec<(u32, Call)>,
    reason: Option<FinishReason>,
    usage: Usage,
}

impl Answer {
    fn push(&mut self, event: ChatEvent) -> Result<(), Error> {
        match event {
            ChatEvent::Started | ChatEvent::TextBlockStart | ChatEvent::BuiltinToolUse { .. } | ChatEvent::Usage(_) => {
            }
            ChatEvent::TextDelta(text) => append(&mut self.text, text),
            ChatEvent::ReasoningDelta(text) => append(&mut self.reasoning, text),
            ChatEvent::ToolCallStart { index, id, name } => {
                let function = CallBody { name, arguments: String::new() };
                self.calls.push((index, Call { id, kind: "function", function }));
            }
            ChatEvent::ToolCallDelta { index, arguments } => {
                let call = self.calls.iter_mut().rev().find(|(of, _)| *of == index);
                let (_, call) = call.ok_or_else(|| call_never_began(index))?;
                append(&mut call.function.arguments, arguments);
            }
            ChatEvent::Finished { reason, usage } => {
                self.reason = Some(reason);
                self.usage = usage;
            }
        }
        Ok(())
    }

    fn into_choice(self, index: usize) -> Choice {
        let reason = finish_reason(self.reason.unwrap_or(FinishReason::Stop), !self.calls.is_empty());
        let tool_calls = self.calls.into_iter().map(|(_, mut call)| {
            if call.function.arguments.is_empty() {
                // Clients parse the arguments as JSON whether there are any or not.
                call.function.arguments.push_str("{}");
            }
            call
        });
        let tool_calls: Vec<Call> = tool_calls.collect();
        let message = AnswerMessage {
            role: "assistant",
            content: if self.text.is_empty() && !tool_calls.is_empty() { None } else { Some(self.text) },
            reasoning_content: if self.reasoning.is_empty() { None } else { Some(self.reasoning) },
            refusal: (),
            tool_calls,
            annotations: [],
        };
        Choice { index, message, logprobs: (), finish_reason: reason.as_str() }
    }
}

/// What to tell the client: one that is told `stop` drops the calls it was sent.
pub(crate) fn finish_reason(reason: FinishReason, called: bool) -> FinishReason {
    if called && reason == FinishReason::Stop { FinishReason::ToolCalls } else { reason }
}

/// The fault of a service whose arguments belong to no call.
pub(crate) fn call_never_began(index: u32) -> Error {
    Error::new(ErrorKind::Internal, format!("Arguments came for tool call {index}, which never began."))
}

/// A text that comes in one piece is not copied.
fn append(whole: &mut String, piece: String) {
    if whole.is_empty() {
        *whole = piece;
    } else {
        whole.push_str(&piece);
    }
}
