//! What becomes of each field of a request: let through, named as ignored, or refused.
//!
//! [`FIELDS`] is the table of those at the top; a conversation has rules of its own.

mod messages;
mod parts;
mod settings;
mod table;
#[cfg(test)]
mod tests;

pub(crate) use self::parts::{check_file, check_image};
pub(crate) use self::settings::check_schema;
pub(crate) use self::table::FIELDS;
use crate::Error;
use crate::chat::ChatRequest;
use crate::http::fields::{Ignored, admit};

/// Checks a whole request against [`FIELDS`], against what a conversation must look like, and against what the inner
/// service says of itself.
///
/// Names the fields that will have no effect: the request's own first, in its order, then those inside of it, such as
/// `stream_options.of_tomorrow` or `messages[].reasoning_content`.
///
/// # Errors
/// The first thing in the request that cannot be done as asked, with [`Error::param`] naming its place.
pub(crate) fn check(request: &ChatRequest, ignored: &mut Ignored) -> Result<(), Error> {
    for (name, value) in &request.extra {
        admit(FIELDS, name, value, ignored)?;
    }
    settings::check(request, ignored)?;
    messages::check(&request.messages, ignored)
}
