//! Checks of a message's content: which parts each role may have.

use crate::Error;
use crate::chat::abilities::Ability;
use crate::chat::{Content, Message, Part, Role};
use crate::http::fields::{Ignored, invalid, unsupported};
use crate::openai::media::{check_file, check_image};

/// Marks for a prompt cache, which do not change the answer.
const ACCEPTED: [&str; 2] = ["cache_control", "prompt_cache_breakpoint"];

pub(super) fn check(i: usize, message: &Message, ignored: &mut Ignored) -> Result<(), Error> {
    match &message.content {
        Some(Content::Text(_)) => Ok(()),
        // Clients replay turns in which the model said nothing, with and without calls. Cursor sends other roles like this.
        Some(Content::Null) => Ok(()),
        None if message.role == Role::Assistant => Ok(()),
        None => {
            let message = format!("A {} message needs `content`: a string or an array of parts.", name(message.role));
            Err(invalid(format!("messages[{i}].content"), message))
        }
        Some(Content::Parts(parts)) => {
            parts.iter().enumerate().try_for_each(|(j, part)| check_part(i, j, message.role, part, ignored))
        }
    }
}

fn check_part(i: usize, j: usize, role: Role, part: &Part, ignored: &mut Ignored) -> Result<(), Error> {
    let at = |field: &str| format!("messages[{i}].content[{j}].{field}");
    let missing = |field: &str| {
        let message = format!("Parts of type `{}` need the field `{field}`. Add it.", part.kind);
        Err(invalid(at(field), message))
    };
    match (part.kind.as_str(), role) {
        ("text" | "input_text" | "output_text", _) if part.text.is_none() => return missing("text"),
        ("text" | "input_text" | "output_text", _) => {}
        ("refusal", Role::Assistant) if part.refusal.is_none() => return missing("refusal"),
        ("refusal", Role::Assistant) => {}
        ("image_url", Role::User | Role::Tool) => match &part.image_url {
            Some(image) => check_image(image, || at("image_url.url"), ignored)?,
            None => return missing("image_url"),
        },
        ("file", Role::User) => match &part.file {
            Some(file) => check_file(file, at, ignored)?,
            None => return missing("file"),
        },
        (kind @ ("refusal" | "image_url" | "file"), _) => {
            let message = format!("A {} message cannot have `{kind}` parts. {}", name(role), allowed(role));
            return Err(invalid(at("type"), message));
        }
        // The part is kept as it was sent, for an inner service that knows what to do with it.
        (kind, _) => match ignored.abilities.of(kind) {
            // A refusal comes later, in the inner service's own words.
            Some(Ability::Honoured | Ability::Refused(_)) => return Ok(()),
            Some(Ability::Ignored) | None => {
                let message = format!("Parts of type {kind:?} are not supported. {}", allowed(role));
                return Err(unsupported(at("type"), message));
            }
        },
    }
    ignored.name_all("messages[].content[].", &part.extra, &ACCEPTED);
    Ok(())
}

fn allowed(role: Role) -> &'static str {
    match role {
        Role::User => "A user message takes `text`, `image_url` and `file` parts.",
        Role::Tool => "A tool message takes `text` and `image_url` parts.",
        Role::Assistant => "An assistant message takes `text` and `refusal` parts.",
        Role::System | Role::Developer | Role::Function => "A system or developer message takes `text` parts.",
    }
}

fn name(role: Role) -> &'static str {
    match role {
        Role::System => "system",
        Role::Developer => "developer",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => "tool",
        Role::Function => "function",
    }
}
