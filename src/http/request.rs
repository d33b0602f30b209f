//! The body of a request: its media type, and what is wrong with JSON that is not a request.

use std::error::Error as StdError;

use http::{HeaderMap, header};
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use serde_path_to_error::Track;

use super::count_values::check_values;
use super::unread::WithoutUnread;
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

/// The object that a body holds, or an error that says where the body is wrong. Of the object's fields, the value is there
/// for those alone for which `reads` is true; it is `true` for others.
pub(crate) fn decode<T: DeserializeOwned>(body: &[u8], reads: impl Fn(&str) -> bool) -> Result<T, Error> {
    check_values(body)?;
    let inner = &mut serde_json::Deserializer::from_slice(body);
    let decoded = T::deserialize(WithoutUnread { inner: &mut *inner, reads: &reads });
    // The path to a fault is only followed when there is one: keeping track of it costs time.
    let decoded = decoded.and_then(|decoded| inner.end().map(|()| decoded));
    decoded.map_err(|error| explain::<T>(body, reads, &error))
}

fn explain<T: DeserializeOwned>(body: &[u8], reads: impl Fn(&str) -> bool, error: &serde_json::Error) -> Error {
    if body.trim_ascii().is_empty() {
        return Error::invalid_request("The request's body is empty. Send a request as JSON.");
    }
    match error.classify() {
        Category::Data => {
            let (json, mut track) = (&mut serde_json::Deserializer::from_slice(body), Track::new());
            let inner = serde_path_to_error::Deserializer::new(json, &mut track);
            let failed = T::deserialize(WithoutUnread { inner, reads }).is_err();
            let path = failed.then(|| track.path().to_string()).filter(|path| path != ".");
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
        let error = decode::<ChatRequest>(body.as_bytes(), |_| true).unwrap_err();
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
