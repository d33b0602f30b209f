//! An OpenAI-compatible chat API as a tower service, backed by the Claude Code CLI.

mod call_id;
pub mod chat;
pub mod cli;
mod data_url;
pub mod error;
pub mod layers;
pub mod openai;
mod proxy;

pub use chat::{ChatEvent, ChatRequest, ChatResponse, EventStream, FinishReason, Usage};
pub use error::{Error, ErrorKind};
pub use proxy::{PanicResponse, Proxy, RequestSpan, proxy};
