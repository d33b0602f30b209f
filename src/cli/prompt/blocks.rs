//! A message as content blocks of the Messages API, borrowed from it as far as can be.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fmt;

use base64::Engine;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use super::mcp;
use crate::chat::call_id;
use crate::chat::data_url::DataUrl;
use crate::chat::{Content, File, Message, Part, Role, ToolCall};
use crate::cli::config::Config;
use crate::{Error, ErrorKind};

/// A content block, as the CLI is sent it.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Block<'a> {
    Text {
        text: Cow<'a, str>,
    },
    Image {
        source: Source<'a>,
    },
    Document {
        source: Source<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        title: Option<&'a str>,
    },
    ToolUse {
        id: String,
        name: Cow<'a, str>,
        input: Cow<'a, RawValue>,
    },
    ToolResult {
        tool_use_id: String,
        content: Vec<Block<'a>>,
    },
}

/// Where an image or a document is.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Source<'a> {
    Base64 { media_type: &'a str, data: &'a str },
    Url { url: &'a str },
    Text { media_type: &'a str, data: String },
}

impl<'a> Block<'a> {
    fn text(text: impl Into<Cow<'a, str>>) -> Self {
        Block::Text { text: text.into() }
    }

    pub(super) fn is_tool_result(&self) -> bool {
        matches!(self, Block::ToolResult { .. })
    }
}

/// The ids of the history's calls as the API wants them: of its alphabet, and each used once.
#[derive(Default)]
pub(super) struct CallIds {
    used: HashSet<String>,
    /// For each id that came more than once, the number that the next one gets: counting from 2 each time would take
    /// the square of their count.
    next: HashMap<String, usize>,
    /// The client's id to the one that was written for the latest call of that id.
    latest: HashMap<String, String>,
}

impl CallIds {
    fn call(&mut self, id: &str) -> String {
        let canonical = call_id::canonical(id);
        let base = if canonical.is_empty() { "call".to_owned() } else { canonical.clone() };
        let mut unique = base.clone();
        while !self.used.insert(unique.clone()) {
            let next = self.next.entry(base.clone()).or_insert(2);
            unique = format!("{base}_{next}");
            *next += 1;
        }
        self.latest.insert(canonical, unique.clone());
        unique
    }

    fn result(&self, id: &str) -> String {
        let canonical = call_id::canonical(id);
        self.latest.get(&canonical).cloned().unwrap_or(canonical)
    }
}

/// The message's blocks; none where it says nothing.
pub(super) fn of<'a>(message: &'a Message, ids: &mut CallIds, config: &Config) -> Result<Vec<Block<'a>>, Error> {
    let mut blocks = match message.role {
        Role::System | Role::Developer => return Ok(reminder(&message.text()).into_iter().collect()),
        Role::Tool | Role::Function => {
            let tool_use_id = ids.result(message.tool_call_id.as_deref().unwrap_or_default());
            return Ok(vec![Block::ToolResult { tool_use_id, content: content(message)? }]);
        }
        Role::User | Role::Assistant => content(message)?,
    };
    if let Some(name) = message.name.as_deref().filter(|_| message.role == Role::User) {
        let text = blocks.iter_mut().find_map(|block| match block {
            Block::Text { text } => Some(text),
            _ => None,
        });
        match text {
            Some(text) => *text = Cow::Owned(format!("{name}: {text}")),
            None => blocks.insert(0, Block::text(format!("{name}:"))),
        }
    }
    if message.role == Role::Assistant {
        if let Some(refusal) = message.refusal.as_deref().filter(|refusal| !is_blank(refusal)) {
            blocks.push(Block::text(refusal));
        }
        for (index, call) in message.calls().iter().enumerate() {
            let name = &call.function.name;
            let is_builtin = config.builtin_tools.contains(name);
            let name = if is_builtin { Cow::Borrowed(name.as_str()) } else { Cow::Owned(mcp::wire_name(name)) };
            blocks.push(Block::ToolUse { id: ids.call(&call.id), name, input: arguments(call, index)? });
        }
    }
    Ok(blocks)
}

/// A system message that stands in the conversation: in the tag by which Claude Code itself marks what is not the user's
/// within a user turn.
fn reminder(text: &str) -> Option<Block<'static>> {
    (!is_blank(text)).then(|| Block::text(format!("<system-reminder>\n{text}\n</system-reminder>")))
}

fn is_blank(text: &str) -> bool {
    text.trim().is_empty()
}

/// The content in the API's blocks. It refuses blank texts, so they are left out.
fn content(message: &Message) -> Result<Vec<Block<'_>>, Error> {
    match &message.content {
        None | Some(Content::Null) => Ok(Vec::new()),
        Some(Content::Text(text)) if is_blank(text) => Ok(Vec::new()),
        Some(Content::Text(text)) => Ok(vec![Block::text(text)]),
        Some(Content::Parts(parts)) => parts
            .iter()
            .enumerate()
            .filter(|(_, part)| !part.as_text().is_some_and(is_blank))
            .map(|(index, part)| self::part(part).map_err(|error| error.with_param(format!("content[{index}]"))))
            .collect(),
    }
}

fn part(part: &Part) -> Result<Block<'_>, Error> {
    if let Some(text) = part.as_text() {
        return Ok(Block::text(text));
    }
    if let Some(image) = &part.image_url {
        let source = match DataUrl::parse(&image.url) {
            Ok(DataUrl { media_type, base64 }) => Source::Base64 { media_type, data: base64 },
            // Handed on as it is: the API fetches it, this machine never does.
            Err(_) if image.url.starts_with("https://") => Source::Url { url: &image.url },
            Err(_) => {
                return Err(Error::invalid_request("An image must be a data: URL in base64, or an https: URL."));
            }
        };
        return Ok(Block::Image { source });
    }
    if let Some(file) = &part.file {
        return Ok(Block::Document { source: document(file)?, title: file.filename.as_deref() });
    }
    let kind: String = part.kind.chars().take(100).collect();
    Err(Error::new(
        ErrorKind::UnsupportedParameter,
        format!("Content parts of type {kind:?} are not supported. Send text, image_url or file parts."),
    ))
}

fn document(file: &File) -> Result<Source<'_>, Error> {
    let url = file.file_data.as_deref().and_then(|url| DataUrl::parse(url).ok());
    let DataUrl { media_type, base64: data } =
        url.ok_or_else(|| Error::invalid_request("A file must be given as a data: URL in base64, in file_data."))?;
    if media_type == "application/pdf" {
        return Ok(Source::Base64 { media_type, data });
    }
    let bytes = base64::engine::general_purpose::STANDARD.decode(data);
    let text = bytes.ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let data = text.ok_or_else(|| {
        let media_type: String = media_type.chars().take(100).collect();
        Error::invalid_request(format!("The file is of type {media_type}, but not UTF-8 text in base64."))
    })?;
    Ok(Source::Text { media_type: "text/plain", data })
}

/// A call's arguments as the API wants them: an object, on one line, as the whole message is.
fn arguments(call: &ToolCall, index: usize) -> Result<Cow<'_, RawValue>, Error> {
    let arguments = match call.function.arguments.trim() {
        "" => "{}",
        arguments => arguments,
    };
    let raw = arguments.starts_with('{') && serde_json::from_str::<Json>(arguments).is_ok();
    let raw = if !raw {
        None
    } else if arguments.contains(['\n', '\r']) {
        // Within a string these are written as escapes, so each of them is white space.
        RawValue::from_string(arguments.replace(['\n', '\r'], " ")).ok().map(Cow::Owned)
    } else {
        serde_json::from_str(arguments).ok().map(Cow::Borrowed)
    };
    raw.ok_or_else(|| {
        Error::invalid_request("The arguments of a call must be a JSON object. Send them back as they were received.")
            .with_param(format!("tool_calls[{index}].function.arguments"))
    })
}

/// Some JSON that can be read, of which nothing is kept: unlike `IgnoredAny` and `RawValue`, it looks into strings, and
/// has a limit on nesting.
struct Json;

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Json)
    }
}

impl<'de> Visitor<'de> for Json {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("some JSON")
    }
    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json)
    }
    fn visit_bool<E>(self, _: bool) -> Result<Json, E> {
        Ok(Json)
    }
    fn visit_i64<E>(self, _: i64) -> Result<Json, E> {
        Ok(Json)
    }
    fn visit_u64<E>(self, _: u64) -> Result<Json, E> {
        Ok(Json)
    }
    fn visit_f64<E>(self, _: f64) -> Result<Json, E> {
        Ok(Json)
    }
    fn visit_str<E>(self, _: &str) -> Result<Json, E> {
        Ok(Json)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        while items.next_element::<Json>()?.is_some() {}
        Ok(Json)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Json, A::Error> {
        while fields.next_entry::<Json, Json>()?.is_some() {}
        Ok(Json)
    }
}

/// Whether there is anything of the message in the conversation.
pub(super) fn says(message: &Message) -> bool {
    let said = match &message.content {
        None | Some(Content::Null) => false,
        Some(Content::Text(text)) => !is_blank(text),
        Some(Content::Parts(parts)) => parts.iter().any(|part| part.as_text().is_none_or(|text| !is_blank(text))),
    };
    let refused = message.refusal.as_deref().is_some_and(|refusal| !is_blank(refusal));
    said || refused || message.tool_call_id.is_some() || !message.calls().is_empty()
}

/// Refuses what [`of`] would refuse.
pub(super) fn check(message: &Message) -> Result<(), Error> {
    content(message)?;
    for (index, call) in message.calls().iter().enumerate() {
        arguments(call, index)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_come_again_are_told_apart_whatever_the_client_called_others() {
        let mut ids = CallIds::default();
        let made: Vec<String> = ["a", "a_2", "a", "a2", "a", "", ""].iter().map(|id| ids.call(id)).collect();
        assert_eq!(made, ["a", "a2", "a_2", "a2_2", "a_3", "call", "call_2"]);
        assert_eq!((ids.result("a"), ids.result("a-2"), ids.result("b")), ("a_3".into(), "a2_2".into(), "b".into()));
    }

    #[test]
    fn a_hundred_thousand_calls_of_one_id_take_no_longer_than_as_many_others() {
        let mut ids = CallIds::default();
        // Counting up from the first number each time would take five thousand million steps: minutes.
        let made: HashSet<String> = (0..100_000).map(|_| ids.call("call_0")).collect();
        assert_eq!(made.len(), 100_000);
    }

    #[test]
    fn arguments_are_an_object_on_one_line_as_they_were_written() {
        let of = |text: &str| {
            let mut call = ToolCall::default();
            call.function.arguments = text.to_owned();
            arguments(&call, 0).map(|raw| raw.get().to_owned()).map_err(|error| error.param().unwrap().to_owned())
        };
        let fault = || Err("tool_calls[0].function.arguments".to_owned());
        assert_eq!(of(" "), Ok("{}".to_owned()));
        assert_eq!(of(" {\"b\":1.0, \"a\":[\"\\n\"]}\n"), Ok("{\"b\":1.0, \"a\":[\"\\n\"]}".to_owned()));
        assert_eq!(of("{\r\n \"a\": 1\n}"), Ok("{   \"a\": 1 }".to_owned()));
        for wrong in ["[]", "{", "{} {}", "1", "{\"a\":\"\\ud800\"}", "{\"a\":01}"] {
            assert_eq!(of(wrong), fault(), "{wrong}");
        }
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(of(&deep), fault());
    }
}
