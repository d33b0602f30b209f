//! OpenAI's two dialects, each a [`Door`](crate::http::door::Door) to the conversation of [`chat`](crate::chat).

pub(crate) mod chat_completions;
mod free_text;
mod media;
pub(crate) mod models;
pub(crate) mod responses;
mod schema;
