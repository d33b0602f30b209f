//! OpenAI's dialects: each a door of its own over [`chat`](crate::chat).

pub mod chat_completions;
mod free_text;
pub(crate) mod models;
pub mod responses;
