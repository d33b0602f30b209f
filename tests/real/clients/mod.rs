//! Programs that speak one of the APIs, unmodified, against the whole proxy on a real port: over the real CLI where it is
//! installed, over the stand-in otherwise.

mod chat_completions;
mod messages;
mod responses;
