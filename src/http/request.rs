//! The body of a request: its media type, and what is wrong with JSON that is not a request.

use std::error::Error as StdError;

use http::{HeaderMap, header};
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use super::count_values::check_values;
use crate::Error;

pub(crate) type BoxError = Box<dyn StdError + Send + Sync>;

/// Refuses a body that does not say it is JSON: a page of any site may send `text/plain` and forms here unasked.
pub(crate) fn check_media_type(headers: &HeaderMap) -> Result<(), Error> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(()) };
    let essence = value.as_bytes().split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
    let essence = essence.to_ascii_lowercase();
    if essence == b"application/json" || essence.ends_with(b"+json") {
        return Ok(());
    }
    Err(Error::invalid_request(format!(
        "The request's Content-Type is `{}`. Send `Content-Type: application/json`.",
        String::from_utf8_lossy(&essence)
    )))
}

/// The value that a body holds, or an error that says where the body is wrong.
pub(crate) fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, Error> {
    check_values(body)?;
    // The path to a fault is only followed when there is one: keeping track of it costs time.
    serde_json::from_slice(body).map_err(|error| explain::<T>(body, &error))
}

fn explain<T: DeserializeOwned>(body: &[u8], error: &serde_json::Error) -> Error {
    if body.trim_ascii().is_empty() {
        return Error::invalid_request("The request's body is empty. Send a request as JSON.");
    }
    match error.classify() {
        Category::Data => {
            let mut deserializer = serde_json::Deserializer::from_slice(body);
            let tracked: Result<T, _> = serde_path_to_error::deserialize(&mut deserializer);
            let path = tracked.err().map(|error| error.path().to_string()).filter(|path| path != ".");
            let message = error.to_string();
            // For a missing field, serde reports the path of its parent.
            let missing = message.strip_prefix("missing field `").and_then(|rest| rest.split('`').next());
            let param = match (path, missing) {
                (Some(path), Some(missing)) => Some(format!("{path}.{missing}")),
                (path, missing) => path.or(missing.map(str::to_owned)),
            };
            match param {
                Some(param) => {
                    Error::invalid_request(format!("The request is not valid: `{param}`: {message}.")).with_param(param)
                }
                None => Error::invalid_request(format!("The request is not valid: {message}.")),
            }
        }
        Category::Syntax | Category::Eof | Category::Io => {
            Error::invalid_request(format!("The request's body is not valid JSON: {error}."))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ChatRequest;

    fn fault(body: &str) -> (String, Option<String>) {
        let error = decode::<ChatRequest>(body.as_bytes()).unwrap_err();
        (error.to_string(), error.param().map(str::to_owned))
    }

    #[test]
    fn a_fault_in_the_json_says_line_and_column() {
        let (message, param) = fault("{\n  \"model\": \"m\",\n  \"messages\": [}\n");
        assert_eq!(message, "The request's body is not valid JSON: expected value at line 3 column 16.");
        assert_eq!(param, None);
    }

    #[test]
    fn a_wrong_type_names_its_parameter() {
        let (message, param) = fault(r#"{"model":"m","messages":[{"role":"user"},{"role":"robot"}]}"#);
        assert_eq!(param.as_deref(), Some("messages[1].role"));
        assert!(message.contains("unknown variant `robot`") && message.contains("at line 1 column"), "{message}");
    }

    #[test]
    fn what_is_missing_is_named_with_its_parents() {
        assert_eq!(fault(r#"{"model":"m"}"#).1.as_deref(), Some("messages"));
        assert_eq!(fault(r#"{"model":"m","messages":[{"content":"x"}]}"#).1.as_deref(), Some("messages[0].role"));
    }

    #[test]
    fn what_follows_the_request_is_refused() {
        assert!(fault(r#"{"model":"m","messages":[]} x"#).0.contains("trailing characters"));
        assert!(fault("[1]").0.starts_with("The request is not valid: "));
        assert!(fault("  ").0.contains("is empty"));
    }
}
