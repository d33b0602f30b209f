//! The parts of an item's content, as parts of a message.

use serde_json::{Value, json};

use super::items::Part;
use crate::Error;
use crate::chat::{self, Extra, Role};
use crate::http::fields::{Ignored, invalid, unsupported};
use crate::openai::media::{check_file, check_image};

/// Fields of a part that may be left as they are: those of our own answers, which clients send back.
const PART_ACCEPTED: [&str; 4] = ["annotations", "logprobs", "cache_control", "prompt_cache_breakpoint"];

/// The parts of a message or an output. Errors name their place after `at`.
pub(super) fn parts(
    mut parts: Vec<Part>,
    role: Role,
    at: &str,
    ignored: &mut Ignored,
) -> Result<Vec<chat::Part>, Error> {
    let mut of_chat = Vec::with_capacity(parts.len());
    parts.reverse();
    while let Some(part) = parts.pop() {
        of_chat.push(self::part(part, role, &format!("{at}[{}]", of_chat.len()), ignored)?);
        // Hundreds of thousands of parts give back what they took while those of the message grow.
        if parts.len() < parts.capacity() / 2 {
            parts.shrink_to_fit();
        }
    }
    Ok(of_chat)
}

fn part(part: Part, role: Role, at: &str, ignored: &mut Ignored) -> Result<chat::Part, Error> {
    let missing = |field: &str| {
        let message = format!("Parts of type `{}` need the field `{field}`. Add it.", part.kind);
        invalid(format!("{at}.{field}"), message)
    };
    for (name, value) in part.rest.iter().filter(|(name, _)| !PART_ACCEPTED.contains(&name.as_str())) {
        if name == "detail" && value == "auto" {
            continue;
        }
        ignored.name("input[].content[].", name, value);
    }
    let media = matches!(role, Role::User | Role::Tool);
    let extra = cache_mark(&part.rest);
    match part.kind.as_str() {
        "input_text" | "output_text" | "text" => {
            let Some(text) = part.text else { return Err(missing("text")) };
            Ok(chat::Part { extra, ..chat::Part::from_text(text) })
        }
        "refusal" if role == Role::Assistant => {
            let Some(refusal) = part.refusal else { return Err(missing("refusal")) };
            Ok(chat::Part { kind: "refusal".to_owned(), refusal: Some(refusal.into()), ..chat::Part::default() })
        }
        "input_image" if media => {
            if part.file_id.is_some() {
                return Err(no_uploads(format!("{at}.file_id"), "the image as a data URL in `image_url`"));
            }
            let Some(url) = part.image_url else { return Err(missing("image_url")) };
            let image = chat::ImageUrl { url: url.into(), extra: Extra::default() };
            check_image(&image, || format!("{at}.image_url"), ignored)?;
            Ok(chat::Part {
                kind: "image_url".to_owned(),
                image_url: Some(image.into()),
                extra,
                ..chat::Part::default()
            })
        }
        "input_file" if media => {
            if part.file_id.is_some() {
                return Err(no_uploads(format!("{at}.file_id"), "the file as a data URL in `file_data`"));
            }
            if part.file_url.is_some() {
                let message = "This server fetches no files. Send the file as a data URL in `file_data`.";
                return Err(unsupported(format!("{at}.file_url"), message));
            }
            let Some(data) = part.file_data else { return Err(missing("file_data")) };
            let file = chat::File {
                file_data: Some(data.into()),
                filename: part.filename.map(Into::into),
                ..chat::File::default()
            };
            check_file(&file, |_| format!("{at}.file_data"), ignored)?;
            Ok(chat::Part { kind: "file".to_owned(), file: Some(file.into()), extra, ..chat::Part::default() })
        }
        "input_audio" => {
            let message = "Audio is not supported. Send a transcript as an `input_text` part.";
            Err(unsupported(format!("{at}.type"), message))
        }
        kind => {
            let message = format!("Parts of type {kind:?} are not supported here. {}", allowed(role));
            Err(unsupported(format!("{at}.type"), message))
        }
    }
}

/// Where the client wants the prompt cached, as the conversation has it.
fn cache_mark(rest: &Extra) -> Extra {
    let mark = rest.get("cache_control").cloned();
    let mark = mark.or_else(|| rest.contains_key("prompt_cache_breakpoint").then(|| json!({"type": "ephemeral"})));
    mark.filter(Value::is_object).map(|mark| ("cache_control".to_owned(), mark)).into_iter().collect()
}

fn no_uploads(at: String, advice: &str) -> Error {
    unsupported(at, format!("Files cannot be uploaded here, so no `file_id` is known. Send {advice}."))
}

fn allowed(role: Role) -> &'static str {
    match role {
        Role::User => "A user message takes `input_text`, `input_image` and `input_file` parts.",
        Role::Tool | Role::Function => "An output takes `input_text`, `input_image` and `input_file` parts.",
        Role::Assistant => "An assistant message takes `output_text` and `refusal` parts.",
        Role::System | Role::Developer => "A system or developer message takes `input_text` parts.",
    }
}
