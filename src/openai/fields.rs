//! Which fields of a request are honoured, refused or ignored.

use crate::{ChatRequest, Error};

/// Refuses what cannot be done, and names the parameters that will be ignored.
pub(crate) fn check(request: &ChatRequest) -> Result<Vec<String>, Error> {
    Ok(request.extra.keys().cloned().collect())
}
