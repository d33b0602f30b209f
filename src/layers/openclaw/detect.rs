//! Recognises OpenClaw's requests, by the opening of its prompt or the internal context at a request's end.

use super::tables::OPENINGS;
use crate::ChatRequest;
use crate::chat::{Message, Role};

/// The markers around a message that OpenClaw adds to a request, and leaves out of the next one.
const INTERNAL_CONTEXT: (&str, &str) = ("<<<BEGIN_OPENCLAW_INTERNAL_CONTEXT>>>", "<<<END_OPENCLAW_INTERNAL_CONTEXT>>>");

/// Whether OpenClaw sent this: by the opening of its system prompt, or by the internal context at the request's end.
pub(super) fn is_openclaw(request: &ChatRequest) -> bool {
    request.messages.last().is_some_and(is_internal_context) || has_prompt(request)
}

/// Whether one of the messages is OpenClaw's system prompt.
pub(super) fn has_prompt(request: &ChatRequest) -> bool {
    request.messages.iter().any(is_prompt)
}

/// Whether this is OpenClaw's system prompt: one of the openings begins a line of it.
pub(super) fn is_prompt(message: &Message) -> bool {
    let opens = |text: &str| text.lines().any(|line| OPENINGS.iter().any(|opening| line.starts_with(opening)));
    message.role.is_instructions() && message.texts().any(opens)
}

/// Whether this is a message that OpenClaw will leave out of its next request.
pub(super) fn is_internal_context(message: &Message) -> bool {
    message.role == Role::User && {
        let mut texts = message.texts().map(str::trim).filter(|text| !text.is_empty());
        let first = texts.next();
        let last = texts.last().or(first);
        first.is_some_and(|text| text.starts_with(INTERNAL_CONTEXT.0))
            && last.is_some_and(|text| text.ends_with(INTERNAL_CONTEXT.1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prompt_is_known_by_an_opening_at_the_beginning_of_any_line_and_nowhere_else() {
        for opening in OPENINGS {
            for text in [format!("{opening}.\n"), format!("As the operator says:\n\n{opening}.")] {
                assert!(is_prompt(&Message::new(Role::System, text.as_str())), "{text:?}");
                assert!(!is_prompt(&Message::new(Role::User, text.as_str())), "{text:?}");
            }
            let quoted = format!("\nIts prompt has the line {opening}.\n");
            assert!(!is_prompt(&Message::new(Role::System, quoted.as_str())), "{quoted:?}");
        }
    }
}
