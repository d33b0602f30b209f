//! Why a request does not continue a conversation, for the log, the metrics and the choice of what to explain.

use std::fmt;

use crate::chat::recognition;

/// Why a request does not continue a conversation: the comparison that failed first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mismatch {
    Caller,
    Model,
    Tools,
    Client(recognition::Mismatch),
    NoReply,
    System,
    Length { held: usize, sent: usize },
    Message(usize),
    Reply,
    Marks,
    ResultUnfit,
    ResultMissing,
    ResultUnknown,
    BesideResults,
}

impl Mismatch {
    /// One word for it, out of few: it is the value of a metric's label.
    pub(crate) fn reason(&self) -> &'static str {
        use recognition::Mismatch as Client;
        match self {
            Mismatch::Caller => "caller",
            Mismatch::Model => "model",
            Mismatch::Tools => "tools",
            Mismatch::System => "system",
            Mismatch::Marks => "marks",
            Mismatch::Reply | Mismatch::Client(Client::Reply(_)) => "reply",
            Mismatch::ResultUnfit | Mismatch::ResultMissing | Mismatch::ResultUnknown | Mismatch::BesideResults => {
                "results"
            }
            Mismatch::NoReply | Mismatch::Length { .. } | Mismatch::Message(_) | Mismatch::Client(_) => "history",
        }
    }

    /// Whether the process waits for results that it will never get: they are there, and it cannot take them.
    pub(crate) fn is_final(&self) -> bool {
        matches!(self, Mismatch::ResultUnfit | Mismatch::BesideResults)
    }

    /// How close the request came. Of all conversations that it does not continue, the closest is the one to explain.
    pub(crate) fn closeness(&self) -> usize {
        use recognition::Mismatch as Client;
        match self {
            Mismatch::Caller => 0,
            Mismatch::NoReply | Mismatch::Client(Client::NoReply) => 1,
            Mismatch::Length { .. } | Mismatch::Client(Client::Length { .. }) => 2,
            Mismatch::Model => 3,
            Mismatch::Tools => 4,
            Mismatch::System => 5,
            Mismatch::Message(place) => place.saturating_add(6),
            Mismatch::Client(Client::Message(place)) => (*place as usize).saturating_add(6),
            _ => usize::MAX,
        }
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Mismatch::Caller => f.write_str("another caller, or another session of the same one, holds it"),
            Mismatch::Model => f.write_str("another model is asked for"),
            Mismatch::Tools => f.write_str("the functions, tool_choice or response_format are not what they were"),
            Mismatch::Client(mismatch) => mismatch.fmt(f),
            Mismatch::NoReply => f.write_str("the request has no assistant message"),
            Mismatch::System => f.write_str("the system prompt is not what it was"),
            Mismatch::Length { held, sent } => {
                write!(f, "the request has {sent} messages before its last assistant message, the conversation {held}")
            }
            Mismatch::Message(place) => write!(f, "the message at {place} is not what it was"),
            Mismatch::Reply => f.write_str("the last assistant message is not what Claude Code answered"),
            Mismatch::Marks => f.write_str("its prompt-cache marks have another lifetime than new ones would"),
            Mismatch::ResultUnfit => f.write_str(
                "the control channel cannot carry a result as it is: it is too large, empty, or of another kind",
            ),
            Mismatch::ResultMissing => f.write_str("a call that Claude Code waits for has no result"),
            Mismatch::ResultUnknown => f.write_str("a result belongs to no call that Claude Code waits for"),
            Mismatch::BesideResults => {
                f.write_str("something stands beside results of which one is a failure, or settings changed with them")
            }
        }
    }
}
