//! Anthropic's dialect: a door of its own over [`chat`](crate::chat).

pub(crate) mod error;
pub(crate) mod messages;
pub(crate) mod models;
