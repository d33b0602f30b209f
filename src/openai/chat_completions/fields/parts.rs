//! Checks of a message's content: which parts each role may have, and what images and files may be.

use crate::Error;
use crate::chat::abilities::Ability;
use crate::chat::data_url::DataUrl;
use crate::chat::{Content, File, ImageUrl, Message, Part, Role};
use crate::http::fields::{Ignored, invalid, unsupported};

const IMAGE_TYPES: [&str; 4] = ["image/png", "image/jpeg", "image/gif", "image/webp"];

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

pub(crate) fn check_image(image: &ImageUrl, at: impl Fn() -> String, ignored: &mut Ignored) -> Result<(), Error> {
    if image.url.starts_with("data:") {
        let url = parse(&image.url, "image", &at)?;
        if !IMAGE_TYPES.contains(&url.media_type) {
            let message = format!(
                "Images of type {:?} are not supported. Use one of: {}.",
                url.media_type,
                IMAGE_TYPES.join(", ")
            );
            return Err(unsupported(at(), message));
        }
    } else if !image.url.strip_prefix("https://").is_some_and(|rest| rest.starts_with(|c| c != '/')) {
        let message = format!(
            "The image's URL begins {:?}. Use an `https://` URL, or `data:image/png;base64,...`; local files are never \
             read.",
            image.url.chars().take(16).collect::<String>()
        );
        return Err(unsupported(at(), message));
    }
    if let Some(detail) = image.extra.get("detail").filter(|detail| *detail != "auto") {
        ignored.name("messages[].content[].image_url.", "detail", detail);
    }
    ignored.name_all("messages[].content[].image_url.", &image.extra, &["detail"]);
    Ok(())
}

pub(crate) fn check_file(file: &File, at: impl Fn(&str) -> String, ignored: &mut Ignored) -> Result<(), Error> {
    if file.file_id.is_some() {
        let message = "Files cannot be uploaded here, so no `file_id` is known. Send the file as `file_data`.";
        return Err(unsupported(at("file.file_id"), message));
    }
    let at = || at("file.file_data");
    let Some(data) = &file.file_data else {
        let message = "A `file` part needs `file_data`, such as `data:application/pdf;base64,...`. Add it.";
        return Err(invalid(at(), message));
    };
    let url = parse(data, "file", at)?;
    if url.media_type.starts_with("text/") {
        if url.text().is_none() {
            return Err(invalid(at(), "The file's data is not UTF-8 text in base64. Convert it to UTF-8 first."));
        }
    } else if url.media_type != "application/pdf" {
        let message = format!(
            "Files of type {:?} are not supported. Send a PDF (application/pdf) or text (text/plain, text/markdown, ...).",
            url.media_type
        );
        return Err(unsupported(at(), message));
    }
    ignored.name_all("messages[].content[].file.", &file.extra, &[]);
    Ok(())
}

fn parse<'a>(url: &'a str, what: &str, at: impl Fn() -> String) -> Result<DataUrl<'a>, Error> {
    DataUrl::parse(url).map_err(|problem| {
        let message = format!(
            "The {what} is not a usable data URL: {problem}. Send `data:<media type>;base64,<standard base64>`."
        );
        invalid(at(), message)
    })
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
