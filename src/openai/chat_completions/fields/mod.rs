//! What becomes of each field of a request: let through, named as ignored, or refused.
//!
//! [`FIELDS`] is the table for the top level; the conversation has rules of its own.

mod messages;
mod parts;
mod settings;
mod table;
#[cfg(test)]
mod tests;

pub(crate) use self::table::FIELDS;
use crate::Error;
use crate::chat::ChatRequest;
use crate::http::fields::{Ignored, admit};

/// Checks a whole request against [`FIELDS`], the rules of a conversation, and the abilities of the inner service.
///
/// Names the fields that will have no effect: first those of the top level, in their order, then nested ones, such as
/// `stream_options.of_tomorrow` or `messages[].reasoning_content`.
///
/// # Errors
/// For the first thing in the request that cannot be done as asked; [`Error::param`] names its place.
pub(crate) fn check(request: &ChatRequest, ignored: &mut Ignored) -> Result<(), Error> {
    for (name, value) in &request.extra {
        admit(FIELDS, name, value, ignored)?;
    }
    settings::check(request, ignored)?;
    messages::check(&request.messages, ignored)
}
