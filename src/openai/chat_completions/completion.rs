//! The plain answer: all events of all choices, gathered into one completion.

use super::wire::{AnswerMessage, Call, CallBody, Choice, Completion, UsageBody};
use crate::chat::call_id::openais;
use crate::http::Body;
use crate::http::door::{Collector, Head};
use crate::{ChatEvent, Error, FinishReason, Usage};

/// Gathers one completion.
pub(crate) struct CompletionCollector {
    head: Head,
    answers: Vec<Answer>,
}

impl CompletionCollector {
    pub(crate) fn new(head: Head) -> Self {
        let answers = std::iter::repeat_with(Answer::default).take(head.choices).collect();
        CompletionCollector { head, answers }
    }
}

impl Collector for CompletionCollector {
    fn event(&mut self, choice: usize, event: ChatEvent) -> Result<(), Error> {
        self.answers[choice].push(event);
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Body, Error> {
        let mut usage = Usage::default();
        self.answers.iter().for_each(|answer| usage += answer.usage);
        let choices = self.answers.into_iter().enumerate().map(|(index, answer)| answer.into_choice(index)).collect();
        let Head { id, created, model, .. } = self.head;
        Body::json(&Completion { id, object: "chat.completion", created, model, choices, usage: UsageBody(usage) })
    }
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
    fn push(&mut self, event: ChatEvent) {
        match event {
            ChatEvent::TextDelta(text) => append(&mut self.text, text),
            ChatEvent::ReasoningDelta(text) => append(&mut self.reasoning, text),
            ChatEvent::ToolCallStart { index, id, name } => {
                let function = CallBody { name, arguments: String::new() };
                self.calls.push((index, Call { id: openais(id), kind: "function", function }));
            }
            ChatEvent::ToolCallDelta { index, arguments } => {
                if let Some((_, call)) = self.calls.iter_mut().rev().find(|(of, _)| *of == index) {
                    append(&mut call.function.arguments, arguments);
                }
            }
            ChatEvent::Finished { reason, usage } => {
                self.reason = Some(reason);
                self.usage = usage;
            }
            // What only some doors show.
            _ => {}
        }
    }

    fn into_choice(self, index: usize) -> Choice {
        let tool_calls: Vec<Call> = self.calls.into_iter().map(|(_, call)| call).collect();
        let message = AnswerMessage {
            role: "assistant",
            content: if self.text.is_empty() && !tool_calls.is_empty() { None } else { Some(self.text) },
            reasoning_content: if self.reasoning.is_empty() { None } else { Some(self.reasoning) },
            refusal: (),
            tool_calls,
            annotations: [],
        };
        let reason = self.reason.unwrap_or(FinishReason::Stop);
        Choice { index, message, logprobs: (), finish_reason: reason.as_str() }
    }
}

/// Appends without copying a text that comes in one piece.
fn append(whole: &mut String, piece: String) {
    if whole.is_empty() {
        *whole = piece;
    } else {
        whole.push_str(&piece);
    }
}
