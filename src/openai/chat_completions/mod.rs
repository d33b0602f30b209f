//! Chat Completions: `POST /v1/chat/completions`.

pub(crate) mod chunk;
pub(crate) mod completion;
pub(crate) mod decode;
pub mod fields;
mod wire;
