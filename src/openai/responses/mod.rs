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
//! What is kept, and what becomes of reasoning and tools, is told to users in [`http`](crate::http).
//!
//! How to read it: `door` first, then along the way of a request:
//!
//! | what happens | where |
//! |---|---|
//! | the request's JSON is read, and each of its fields judged | `request`, `fields` |
//! | it becomes a chat request, and the plan of its answer | `prepare`; for the input `items`, `parts` and `conversation`, for the tools `tools` |
//! | chat events become the answer's items and events | `answer`; `output`, `events` and `echo` are the JSON, `sealed` the encrypted reasoning |
//! | they are written: streamed, in one object, or again | `writers`, `background` |
//! | the answer is kept, and found again | `record` and its `log`, `store`; `backing` and `saved` for a store outside |
//! | the routes of a kept answer | `kept`, `listing` |
//! | two things beside | `tokens` counts, `codex` is for Codex alone |

mod answer;
mod background;
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
mod parts;
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
pub(crate) use fields::{FIELDS, check};
pub(crate) use items::OwnItems;
pub(crate) use prepare::{Places, Prepared, prepare};
pub(crate) use request::CreateResponse;

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}
