//! `GET /v1/responses/{id}/input_items`: the items of an answer's input, page by page.

use serde_json::{Value, json};

use super::items::{Content, Item, Part};
use crate::Error;
use crate::chat::Role;
use crate::http::fields::invalid;

/// Which items are asked for.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) after: Option<String>,
    pub(crate) limit: usize,
    pub(crate) oldest_first: bool,
}

impl Page {
    /// OpenAI's defaults: the newest 20.
    pub(crate) fn of(query: &[(String, String)]) -> Result<Self, Error> {
        let mut page = Page { after: None, limit: 20, oldest_first: false };
        for (name, value) in query {
            match name.as_str() {
                "after" => page.after = Some(value.clone()),
                "limit" => {
                    let limit = value.parse().ok().filter(|limit| (1..=100).contains(limit));
                    page.limit = limit.ok_or_else(|| invalid("limit", "`limit` must be 1 to 100."))?;
                }
                "order" if value == "asc" || value == "desc" => page.oldest_first = value == "asc",
                "order" => return Err(invalid("order", "`order` must be \"asc\" or \"desc\".")),
                _ => {}
            }
        }
        Ok(page)
    }

    /// The page of these items, which are all, from the oldest to the newest.
    pub(crate) fn list(&self, answer: &str, items: Vec<Item>) -> Result<Value, Error> {
        let mut listed: Vec<Item> =
            items.into_iter().enumerate().map(|(index, item)| named(answer, index, item)).collect();
        if !self.oldest_first {
            listed.reverse();
        }
        let start = match &self.after {
            None => 0,
            Some(after) => match listed.iter().position(|item| item.id.as_deref() == Some(after)) {
                Some(place) => place + 1,
                None => return Err(invalid("after", format!("No item of this response has the id {after:?}."))),
            },
        };
        let more = listed.len() > start + self.limit;
        let page: Vec<Item> = listed.into_iter().skip(start).take(self.limit).collect();
        let id = |item: Option<&Item>| item.and_then(|item| item.id.clone()).unwrap_or_default();
        Ok(json!({
            "object": "list",
            "first_id": id(page.first()),
            "last_id": id(page.last()),
            "has_more": more,
            "data": page,
        }))
    }
}

/// The item with the fields that a listed one must have: its type, an id, a status, and content in parts.
fn named(answer: &str, index: usize, mut item: Item) -> Item {
    let kind = item.kind().to_owned();
    let prefix = match kind.as_str() {
        "message" => "msg",
        "reasoning" => "rs",
        "function_call" => "fc",
        "function_call_output" => "fco",
        "custom_tool_call" => "ctc",
        "custom_tool_call_output" => "ctco",
        _ => "item",
    };
    item.id.get_or_insert_with(|| format!("{prefix}_{answer}_in{index}").into());
    if kind != "reasoning" && kind != "item_reference" {
        item.status.get_or_insert_with(|| "completed".into());
    }
    let assistant = item.role == Some(Role::Assistant);
    if kind == "message" {
        item.content = Some(Content::Parts(match item.content.take() {
            None => Vec::new(),
            Some(Content::Parts(parts)) => parts,
            Some(Content::Text(text)) => {
                vec![Part { kind: "input_text".to_owned(), text: Some(text), ..Part::default() }]
            }
        }));
        if let Some(Content::Parts(parts)) = &mut item.content {
            parts.iter_mut().for_each(|part| complete(part, assistant));
        }
    }
    if kind == "reasoning" {
        item.summary.get_or_insert_default();
    }
    item.kind = Some(kind);
    item
}

/// A part with the fields that a listed one must have.
fn complete(part: &mut Part, assistant: bool) {
    if part.text.is_some() {
        part.kind = if assistant { "output_text" } else { "input_text" }.to_owned();
        if assistant {
            for list in ["annotations", "logprobs"] {
                part.rest.entry(list).or_insert_with(|| json!([]));
            }
        }
    } else if part.kind == "input_image" {
        part.rest.entry("detail").or_insert_with(|| json!("auto"));
    }
}
