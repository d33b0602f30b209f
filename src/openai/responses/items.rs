//! The items of a request's input, and of the conversation that is kept for the next one.

use std::fmt;

use bytes::Bytes;
use serde::de::{DeserializeSeed, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::Error;
use crate::chat::{Extra, Role};
use crate::http::fields::invalid;
use crate::http::text_or_list::{Either, text_or_list};

/// `input`: a text, or items. Those have been read once, so they are valid, and are read again when each is needed: all of them
/// at once would be larger than their text.
#[derive(Debug)]
pub(crate) enum Input {
    Text(String),
    Items {
        /// Whether any of them refers to one that is kept here.
        refers: bool,
    },
}

impl<'de> Deserialize<'de> for Input {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let input: Either<IsReference> = text_or_list(deserializer, "a string, or an array of items")?;
        Ok(match input {
            Either::Text(text) => Input::Text(text),
            Either::List(items) => Input::Items { refers: items.iter().any(|IsReference(is)| *is) },
        })
    }
}

/// Whether an item is a reference to another.
struct IsReference(bool);

impl<'de> Deserialize<'de> for IsReference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Item::deserialize(deserializer).map(|item| IsReference(item.is_reference()))
    }
}

/// The items of a request's own input.
#[derive(Debug)]
pub(crate) enum OwnItems {
    Read(Vec<Item>),
    /// As their request has them.
    Sent(Bytes),
}

impl OwnItems {
    /// The items of the input that a body has. A text is a user's message.
    pub(crate) fn of(input: Option<Input>, body: &Bytes) -> Self {
        match input {
            Some(Input::Text(text)) => OwnItems::Read(vec![Item {
                kind: Some("message".to_owned()),
                role: Some(Role::User),
                content: Some(Content::Text(text)),
                ..Item::default()
            }]),
            Some(Input::Items { .. }) => sent(body).map_or_else(|| OwnItems::Read(Vec::new()), OwnItems::Sent),
            None => OwnItems::Read(Vec::new()),
        }
    }

    /// Takes each of them.
    pub(crate) fn try_for_each(self, mut take: impl FnMut(Item) -> Result<(), Error>) -> Result<(), Error> {
        match self {
            OwnItems::Read(items) => items.into_iter().try_for_each(take),
            OwnItems::Sent(json) => {
                let mut taken = Ok(());
                let each = Each(|item| {
                    taken = take(item);
                    taken.is_ok()
                });
                let read = each.deserialize(&mut serde_json::Deserializer::from_slice(&json));
                taken.and(read.map_err(|error| invalid("input", format!("The input is not valid: {error}."))))
            }
        }
    }
}

/// The text of a request's input. Where it is nearly all of the body, it shares the body's memory.
fn sent(body: &Bytes) -> Option<Bytes> {
    #[derive(Deserialize)]
    struct Request<'a> {
        #[serde(borrow)]
        input: Option<&'a RawValue>,
    }
    let Request { input } = serde_json::from_slice(body).ok()?;
    let input = input?.get().as_bytes();
    let is_most = input.len() >= body.len() / 8 * 7;
    Some(if is_most { body.slice_ref(input) } else { Bytes::copy_from_slice(input) })
}

/// Gives each item of a list to a function, until that says no.
struct Each<F>(F);

impl<'de, F: FnMut(Item) -> bool> DeserializeSeed<'de> for Each<F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, F: FnMut(Item) -> bool> Visitor<'de> for Each<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an array of items")
    }
    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<(), A::Error> {
        while let Some(item) = items.next_element()? {
            if !self.0(item) {
                return Err(serde::de::Error::custom("an item was refused"));
            }
        }
        Ok(())
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
    /// Whether it stands for an item that is kept here.
    pub(crate) fn is_reference(&self) -> bool {
        self.kind() == "item_reference"
    }

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
