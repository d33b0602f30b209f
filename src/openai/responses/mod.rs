//! The Responses dialect: `POST /v1/responses`, and what is kept of its answers.
//!
//! | route | answer |
//! |---|---|
//! | `POST /v1/responses` | a response, or its events |
//! | `GET /v1/responses/{id}` | a kept response; with `?stream=true`, its events from behind `starting_after` |
//! | `DELETE /v1/responses/{id}` | forgets it |
//! | `GET /v1/responses/{id}/input_items` | what it was asked, with the conversation before it |
//! | `POST /v1/responses/{id}/cancel` | ends one that runs in the background |
//! | `POST /v1/responses/input_tokens` | about how many tokens a request has |
//!
//! # What is kept
//! Unless `store` is false, a response is kept in memory under the API key that it was made with, for
//! `previous_response_id`, for item references, and for the routes above. The number of bytes and the age are bounded
//! ([`ApiService::keep_responses`](crate::http::ApiService::keep_responses)). One whose client hung up before its end is
//! not kept, unless it ran in the background. With a [`ResponseStore`]
//! ([`ApiService::store_responses`](crate::http::ApiService::store_responses)) they outlive the process: a conversation goes on after
//! a restart.
//!
//! # Reasoning
//! The model's reasoning is told as a summary where `reasoning.summary` asks for one. `encrypted_content` is its
//! signature, and where the text is not told, the text as well: sent back, the inner service gets the model's own thought
//! again, if it gave one with a signature, as [`ClaudeCli`](crate::cli::ClaudeCli) does. Where
//! reasoning was asked for and the model did none, the answer begins with a reasoning item that is empty.
//!
//! # Tools
//! A `custom` tool is a function with one text to the model, and gets that text alone. The tools of a `namespace` are
//! functions named `namespace__tool` to the model. Hosted tools are named in `x-ignored-parameters`.

mod answer;
mod backing;
pub(crate) mod codex;
mod conversation;
mod door;
mod echo;
mod events;
mod fields;
mod items;
mod kept;
mod listing;
mod log;
mod output;
mod prepare;
mod record;
mod request;
mod saved;
mod sealed;
mod store;
mod tokens;
mod tools;
mod writers;

use std::time::{SystemTime, UNIX_EPOCH};

pub use backing::{ResponseStore, StoreFuture, StoredResponse};
pub(crate) use door::Responses;
pub(crate) use fields::check;
pub(crate) use prepare::{Places, Prepared, prepare};
pub(crate) use request::CreateResponse;

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}
