//! An OpenAI-compatible chat API as a tower service, backed by the Claude Code CLI.

pub mod chat;
pub mod error;
pub mod openai;
mod proxy;

pub use chat::{ChatEvent, ChatRequest, ChatResponse, EventStream, FinishReason, Usage};
pub use error::{Error, ErrorKind};
pub use proxy::{PanicResponse, Proxy, RequestSpan, proxy};
