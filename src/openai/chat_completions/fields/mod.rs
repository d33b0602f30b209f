//! What becomes of each field of a request: honoured, accepted, ignored by name, or refused.
//!
//! [`FIELDS`] is the one table of it, and [`check`] goes by that table before a request reaches any layer.
//!
//! ```
//! use tower_claude::openai::chat_completions::fields::check;
//!
//! let request = r#"{"model": "opus", "messages": [{"role": "user", "content": "hi"}], "seed": 7, "user": "u1"}"#;
//! assert_eq!(check(&serde_json::from_str(request)?)?, ["seed"]);
//!
//! let request = r#"{"model": "opus", "messages": [{"role": "user", "content": "hi"}], "logprobs": true}"#;
//! let refusal = check(&serde_json::from_str(request)?).unwrap_err();
//! assert_eq!((refusal.status().as_u16(), refusal.param()), (400, Some("logprobs")));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod messages;
mod parts;
mod settings;
mod table;

use std::collections::HashSet;

use serde_json::{Map, Value};

pub(crate) use self::parts::{check_file, check_image};
pub(crate) use self::settings::check_schema;
pub use self::table::{FIELDS, Field, Shape, Treatment};
pub(crate) use self::table::{admit, field};
use crate::chat::ChatRequest;
use crate::{Error, ErrorKind};

/// Checks a whole request against [`FIELDS`] and against what a conversation must look like.
///
/// Returns the names of the fields that will have no effect, each once, for the `x-ignored-parameters` header: the
/// request's own fields first, in its order, then those inside of it, such as `stream_options.of_tomorrow` or
/// `messages[].reasoning_content`. The names are the client's own and can hold any character.
///
/// # Errors
/// The first thing in the request that cannot be done as asked, with [`Error::param`] naming its place:
/// [`ErrorKind::UnsupportedParameter`] where OpenAI would do it, [`ErrorKind::InvalidRequest`] where nobody would.
pub fn check(request: &ChatRequest) -> Result<Vec<String>, Error> {
    let mut ignored = Ignored::default();
    for (name, value) in &request.extra {
        let treatment = match FIELDS.iter().find(|field| field.name == name) {
            Some(field) => table::admit(field, value)?,
            None => Treatment::Ignored,
        };
        if treatment == Treatment::Ignored {
            ignored.name("", name, value);
        }
    }
    settings::check(request, &mut ignored)?;
    messages::check(&request.messages, &mut ignored)?;
    Ok(ignored.names)
}

/// A request that nobody could answer as it is.
pub(crate) fn invalid(param: impl Into<String>, message: impl Into<String>) -> Error {
    Error::invalid_request(message).with_param(param)
}

/// A request that OpenAI would answer, and the CLI cannot.
pub(crate) fn unsupported(param: impl Into<String>, message: impl Into<String>) -> Error {
    Error::new(ErrorKind::UnsupportedParameter, message).with_param(param)
}

/// The names gathered so far, each once.
#[derive(Debug, Default)]
pub(crate) struct Ignored {
    pub(crate) names: Vec<String>,
    seen: HashSet<String>,
}

impl Ignored {
    /// Adds a field that will have no effect. One that is `null` counts as absent.
    pub(crate) fn name(&mut self, prefix: &str, name: &str, value: &Value) {
        if value.is_null() {
            return;
        }
        self.mention(&format!("{prefix}{name}"));
    }

    /// Adds this name, once.
    pub(crate) fn mention(&mut self, name: &str) {
        if self.seen.insert(name.to_owned()) {
            self.names.push(name.to_owned());
        }
    }

    /// Adds all the fields here but those that need nothing done.
    pub(crate) fn name_all(&mut self, prefix: &str, fields: &Map<String, Value>, accepted: &[&str]) {
        for (name, value) in fields {
            if !accepted.contains(&name.as_str()) {
                self.name(prefix, name, value);
            }
        }
    }
}
