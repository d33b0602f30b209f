//! OpenAI's dialects: each a door of its own over [`chat`](crate::chat).

pub(crate) mod chat_completions;
mod free_text;
pub(crate) mod models;
pub(crate) mod responses;
