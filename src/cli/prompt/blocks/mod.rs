//! A message as content blocks of the Messages API, borrowed from it as far as possible.

mod arguments;
mod call_ids;

use std::borrow::Cow;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

use self::arguments::arguments;
pub(super) use self::call_ids::CallIds;
use super::marks::Mark;
use super::mcp;
use crate::chat::data_url::DataUrl;
use crate::chat::{Content, File, Message, Part, Reasoning, Role};
use crate::cli::config::Config;
use crate::{Error, ErrorKind};

/// A content block as it is sent to the CLI.
#[derive(Debug, Serialize)]
pub(crate) struct Block<'a> {
    #[serde(flatten)]
    pub(super) kind: Kind<'a>,
    /// What the client asks for, until `marks` has decided.
    #[serde(rename = "cache_control", skip_serializing_if = "Option::is_none")]
    pub(super) mark: Option<Mark>,
}

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Kind<'a> {
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
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        is_error: bool,
    },
    Thinking {
        thinking: &'a str,
        signature: &'a str,
    },
    RedactedThinking {
        data: &'a str,
    },
    /// An image, a document or a search result in the API's own form.
    #[serde(untagged)]
    AsSent(AsSent<'a>),
}

/// A part that is an API block already: its fields as they came, without the mark.
#[derive(Debug)]
pub(super) struct AsSent<'a>(&'a Part);

impl Serialize for AsSent<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_map(None)?;
        fields.serialize_entry("type", &self.0.kind)?;
        for (name, value) in self.0.extra.iter().filter(|(name, _)| *name != "cache_control") {
            fields.serialize_entry(name, value)?;
        }
        fields.end()
    }
}

/// Where an image or a document is.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Source<'a> {
    Base64 {
        media_type: &'a str,
        data: &'a str,
    },
    Url {
        url: &'a str,
    },
    Text {
        media_type: &'a str,
        #[serde(serialize_with = "as_text")]
        data: DataUrl<'a>,
    },
}

/// Decodes the content of a text file while it is written.
fn as_text<S: Serializer>(file: &DataUrl<'_>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(file)
}

impl<'a> Block<'a> {
    pub(super) fn text(text: impl Into<Cow<'a, str>>) -> Self {
        Kind::Text { text: text.into() }.into()
    }

    pub(super) fn is_tool_result(&self) -> bool {
        matches!(self.kind, Kind::ToolResult { .. })
    }
}

impl<'a> From<Kind<'a>> for Block<'a> {
    fn from(kind: Kind<'a>) -> Self {
        Block { kind, mark: None }
    }
}

/// The message's blocks; none if it says nothing.
pub(super) fn of<'a>(message: &'a Message, ids: &mut CallIds, config: &Config) -> Result<Vec<Block<'a>>, Error> {
    match message.role {
        Role::System | Role::Developer => Ok(reminder(message).into_iter().collect()),
        Role::Tool | Role::Function => {
            let tool_use_id = ids.result(message.tool_call_id.as_deref().unwrap_or_default());
            let mut content = present(content(message)?);
            if message.is_error && content.is_empty() {
                // The API wants a failure to say something. The CLI gives an empty one of a call in progress this text, too.
                content.push(Block::text("Unknown error"));
            }
            let result = Kind::ToolResult { tool_use_id, content, is_error: message.is_error };
            Ok(vec![Block { kind: result, mark: Mark::among(&message.extra) }])
        }
        Role::User => user(message),
        Role::Assistant => assistant(message, ids, config),
    }
}

/// The blocks that there are, without room for more: a hundred thousand messages may have one each.
fn present<'a>(blocks: Vec<Option<Block<'a>>>) -> Vec<Block<'a>> {
    let mut present: Vec<Block<'a>> = Vec::with_capacity(blocks.iter().flatten().count());
    present.extend(blocks.into_iter().flatten());
    present
}

fn user(message: &Message) -> Result<Vec<Block<'_>>, Error> {
    let mut blocks = present(content(message)?);
    if let Some(name) = message.name.as_deref() {
        let text = blocks.iter_mut().find_map(|block| match &mut block.kind {
            Kind::Text { text } => Some(text),
            _ => None,
        });
        match text {
            Some(text) => *text = Cow::Owned(format!("{name}: {text}")),
            None => blocks.insert(0, Block::text(format!("{name}:"))),
        }
    }
    Ok(blocks)
}

/// What the model said and called, with its reasoning where that stood.
fn assistant<'a>(message: &'a Message, ids: &mut CallIds, config: &Config) -> Result<Vec<Block<'a>>, Error> {
    let mut said = content(message)?;
    if let Some(refusal) = message.refusal.as_deref().filter(|refusal| !is_blank(refusal)) {
        said.push(Some(Block::text(refusal)));
    }
    for call in message.calls() {
        let name = &call.function.name;
        let is_builtin = config.builtin_tools.contains(name);
        let name = if is_builtin { Cow::Borrowed(name.as_str()) } else { Cow::Owned(mcp::wire_name(name)) };
        let kind = Kind::ToolUse { id: ids.call(&call.id), name, input: arguments(call) };
        said.push(Some(Block { kind, mark: Mark::among(&call.extra) }));
    }
    if said.iter().all(Option::is_none) {
        // The API refuses reasoning that nothing follows.
        return Ok(Vec::new());
    }
    let mut blocks = Vec::with_capacity(said.len() + message.reasoning.len());
    let mut reasoning = message.reasoning.iter().peekable();
    for (place, block) in said.into_iter().enumerate() {
        while let Some(thought) = reasoning.next_if(|thought| thought.place() <= place) {
            blocks.push(self::reasoning(thought));
        }
        blocks.extend(block);
    }
    blocks.extend(reasoning.map(self::reasoning));
    Ok(blocks)
}

fn reasoning(reasoning: &Reasoning) -> Block<'_> {
    match reasoning {
        Reasoning::Signed { text, signature, .. } => Kind::Thinking { thinking: text, signature }.into(),
        Reasoning::Redacted { data, .. } => Kind::RedactedThinking { data }.into(),
    }
}

/// A system message within the conversation, in the tag with which Claude Code itself marks what is not the user's in a user
/// turn.
fn reminder(message: &Message) -> Option<Block<'static>> {
    let text = said(message);
    let mark = parts(message).last().and_then(|part| Mark::among(&part.extra));
    let text = (!is_blank(&text)).then(|| format!("<system-reminder>\n{text}\n</system-reminder>"))?;
    Some(Block { mark, ..Block::text(text) })
}

/// The message's text, without parts that are blank.
pub(super) fn said(message: &Message) -> String {
    match &message.content {
        Some(Content::Parts(parts)) => {
            let texts = parts.iter().filter_map(Part::as_text).filter(|text| !is_blank(text));
            texts.collect::<Vec<_>>().join("\n")
        }
        _ => message.text(),
    }
}

/// The message's parts, where its content has any.
pub(super) fn parts(message: &Message) -> &[Part] {
    match &message.content {
        Some(Content::Parts(parts)) => parts,
        _ => &[],
    }
}

/// Whether the CLI takes a text for none.
pub(crate) fn is_blank(text: &str) -> bool {
    trimmed(text).is_empty()
}

/// The text as JavaScript trims it, for which a byte order mark is white space.
pub(super) fn trimmed(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}')
}

/// The content as API blocks, one for each part; `None` for blank texts, which the API refuses.
fn content(message: &Message) -> Result<Vec<Option<Block<'_>>>, Error> {
    match &message.content {
        None | Some(Content::Null) => Ok(Vec::new()),
        Some(Content::Text(text)) => Ok(vec![(!is_blank(text)).then(|| Block::text(text))]),
        Some(Content::Parts(parts)) => {
            let blocks = parts.iter().enumerate().map(|(index, part)| match part.as_text() {
                Some(text) if is_blank(text) => Ok(None),
                _ => self::part(part).map(Some).map_err(|error| error.with_param(format!("content[{index}]"))),
            });
            blocks.collect()
        }
    }
}

fn part(part: &Part) -> Result<Block<'_>, Error> {
    Ok(Block { kind: kind(part)?, mark: Mark::among(&part.extra) })
}

fn kind(part: &Part) -> Result<Kind<'_>, Error> {
    if let Some(text) = part.as_text() {
        return Ok(Kind::Text { text: text.into() });
    }
    if let Some(image) = &part.image_url {
        let source = match DataUrl::parse(&image.url) {
            Ok(DataUrl { media_type, base64 }) => Source::Base64 { media_type, data: base64 },
            // Passed on as it is: the API fetches it, this machine never does.
            Err(_) if image.url.starts_with("https://") => Source::Url { url: &image.url },
            Err(_) => {
                return Err(Error::invalid_request("An image must be a data: URL in base64, or an https: URL."));
            }
        };
        return Ok(Kind::Image { source });
    }
    if let Some(file) = &part.file {
        return Ok(Kind::Document { source: document(file)?, title: file.filename.as_deref() });
    }
    if matches!(part.kind.as_str(), "image" | "document" | "search_result") {
        return Ok(Kind::AsSent(AsSent(part)));
    }
    let kind: String = part.kind.chars().take(100).collect();
    Err(Error::new(
        ErrorKind::UnsupportedParameter,
        format!("Content parts of type {kind:?} are not supported. Send text, image_url or file parts."),
    ))
}

/// An inline image, in OpenAI's form or the API's own: its media type, and its data in base64.
pub(super) fn image_in(part: &Part) -> Option<DataUrl<'_>> {
    match &part.image_url {
        Some(image) => DataUrl::parse(&image.url).ok(),
        None => {
            let source =
                part.extra.get("source").filter(|source| part.kind == "image" && source["type"] == "base64")?;
            let field = |name: &str| source.get(name).and_then(Value::as_str);
            Some(DataUrl { media_type: field("media_type")?, base64: field("data")? })
        }
    }
}

fn document(file: &File) -> Result<Source<'_>, Error> {
    let url = file.file_data.as_deref().and_then(|url| DataUrl::parse(url).ok());
    let url =
        url.ok_or_else(|| Error::invalid_request("A file must be given as a data: URL in base64, in file_data."))?;
    let media_type = url.media_type;
    if media_type == "application/pdf" {
        return Ok(Source::Base64 { media_type, data: url.base64 });
    }
    if !url.is_text() {
        let media_type: String = media_type.chars().take(100).collect();
        let message = format!("The file is of type {media_type}, but not UTF-8 text in base64.");
        return Err(Error::invalid_request(message));
    }
    Ok(Source::Text { media_type: "text/plain", data: url })
}

/// Whether the message adds anything to the conversation.
pub(crate) fn says(message: &Message) -> bool {
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
    if !parts(message).is_empty() {
        content(message)?;
    }
    Ok(())
}
