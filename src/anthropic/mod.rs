//! Anthropic's dialect, a [`Door`](crate::http::door::Door) to the conversation of [`chat`](crate::chat).

pub(crate) mod error;
pub(crate) mod messages;
pub(crate) mod models;
