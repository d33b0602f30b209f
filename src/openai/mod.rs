//! The HTTP edge: Chat Completions in, a JSON body or server-sent events out.

pub mod fields;
#[allow(dead_code)]
mod stop;
