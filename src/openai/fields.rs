//! Which fields of a request are honoured, refused or ignored.

use crate::{ChatRequest, Error};

/// The parameters of a request that will be ignored.
///
/// # Errors
///
/// One that names the parameter, where it asks for what cannot be done.
pub fn check(request: &ChatRequest) -> Result<Vec<String>, Error> {
    Ok(request.extra.keys().cloned().collect())
}
