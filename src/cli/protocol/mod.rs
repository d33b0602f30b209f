//! The stream-json protocol of `claude --print`, as types: the lines that it writes, and those that it is sent.

pub(crate) mod incoming;
mod outgoing;

pub(crate) use incoming::{ControlRequest, Line};
pub(crate) use outgoing::Outgoing;
