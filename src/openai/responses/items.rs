//! The items of a request's input, and of the conversation that is kept for the next one.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::chat::{Extra, Role};
use crate::http::text_or_list::{Either, text_or_list};

/// `input`: a text, or items.
#[derive(Debug)]
pub(crate) enum Input {
    Text(String),
    Items(Vec<Item>),
}

impl Input {
    /// The items. A text is a user's message.
    pub(crate) fn into_items(self) -> Vec<Item> {
        match self {
            Input::Text(text) => vec![Item {
                kind: Some("message".to_owned()),
                role: Some(Role::User),
                content: Some(Content::Text(text)),
                ..Item::default()
            }],
            Input::Items(items) => items,
        }
    }
}

impl<'de> Deserialize<'de> for Input {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text_or_list(deserializer, "a string, or an array of items").map(|either| match either {
            Either::Text(text) => Input::Text(text),
            Either::List(items) => Input::Items(items),
        })
    }
}

/// An item of any kind: a message, a call, a result, reasoning, or one that is only named here.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct Item {
    /// A message and a reference may leave it out.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub(crate) kind: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) status: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) role: Option<Role>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) content: Option<Content>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) call_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) namespace: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    /// Of a `function_call`; other kinds of call give it another type. Boxed, like those below: messages have none of these, and
    /// a request may have hundreds of thousands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) arguments: Option<Box<Value>>,
    /// Of a `custom_tool_call`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) input: Option<Box<Value>>,
    /// Of a call's result.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) output: Option<Box<Value>>,
    /// Of reasoning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) summary: Option<Box<[Part]>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) encrypted_content: Option<Box<str>>,
    #[serde(flatten)]
    pub(crate) rest: Extra,
}

impl Item {
    /// Its type, which a message and a reference may leave out.
    pub(crate) fn kind(&self) -> &str {
        match (&self.kind, &self.role, &self.id) {
            (Some(kind), ..) => kind,
            (None, Some(_), _) => "message",
            (None, None, Some(_)) => "item_reference",
            (None, None, None) => "",
        }
    }
}

/// What a message or a result holds: text, or parts.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Content {
    Text(String),
    Parts(Vec<Part>),
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text_or_list(deserializer, "a string, or an array of parts").map(|either| match either {
            Either::Text(text) => Content::Text(text),
            Either::List(parts) => Content::Parts(parts),
        })
    }
}

/// A part of any kind: text, a refusal, an image, a file.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(crate) struct Part {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) text: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) refusal: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) image_url: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) file_id: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) file_url: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) file_data: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) filename: Option<Box<str>>,
    #[serde(flatten)]
    pub(crate) rest: Extra,
}
