//! From an HTTP request to a chat request: the media type, the bounded body, the JSON, and who asks.

use std::error::Error as StdError;
use std::hash::{BuildHasher, RandomState};
use std::pin::Pin;
use std::task::{Poll, ready};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::{HeaderMap, header};
use http_body::Body;
use http_body_util::{LengthLimitError, Limited};
use serde_json::error::Category;

use crate::chat::Caller;
use crate::{ChatRequest, Error, ErrorKind};

type BoxError = Box<dyn StdError + Send + Sync>;

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

/// The whole body, if it is no longer than `limit` bytes.
pub(crate) async fn read<B>(body: B, limit: usize) -> Result<Bytes, Error>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    let announced = body.size_hint().lower();
    if announced > limit as u64 {
        return Err(too_large(limit));
    }
    let mut body = std::pin::pin!(Limited::new(body, limit));
    let mut bytes = BytesMut::with_capacity(announced as usize);
    // Polled by hand, so that the body's own kind of buffer, which need not be `Send`, is never held across an await.
    std::future::poll_fn(|cx| {
        loop {
            match ready!(Pin::as_mut(&mut body).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    if let Ok(mut data) = frame.into_data() {
                        while data.has_remaining() {
                            let chunk = data.chunk();
                            let length = chunk.len();
                            bytes.put_slice(chunk);
                            data.advance(length);
                        }
                    }
                }
                Some(Err(error)) if error.is::<LengthLimitError>() => return Poll::Ready(Err(too_large(limit))),
                Some(Err(error)) => {
                    let message = format!("The request's body ended early: {error}.");
                    return Poll::Ready(Err(Error::invalid_request(message)));
                }
                None => return Poll::Ready(Ok(())),
            }
        }
    })
    .await?;
    Ok(bytes.freeze())
}

fn too_large(limit: usize) -> Error {
    let message = format!("The request's body is larger than this server's limit of {limit} bytes.");
    Error::new(ErrorKind::RequestTooLarge, message)
}

/// The request that a body holds, or an error that says where it is not one.
pub(crate) fn decode(body: &[u8]) -> Result<ChatRequest, Error> {
    // The path to a fault is only followed when there is one: keeping track of it costs time.
    serde_json::from_slice(body).map_err(|error| explain(body, &error))
}

fn explain(body: &[u8], error: &serde_json::Error) -> Error {
    if body.trim_ascii().is_empty() {
        return Error::invalid_request("The request's body is empty. Send a chat completion request as JSON.");
    }
    match error.classify() {
        Category::Data => {
            let mut deserializer = serde_json::Deserializer::from_slice(body);
            let tracked: Result<ChatRequest, _> = serde_path_to_error::deserialize(&mut deserializer);
            let path = tracked.err().map(|error| error.path().to_string()).filter(|path| path != ".");
            let message = error.to_string();
            // What is missing has no path of its own, only its parent's.
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

/// Who asks: the key that came with the request, as a number that only this process can make of it, and the session.
pub(crate) fn caller(headers: &HeaderMap, hasher: &RandomState) -> Caller {
    let session = ["x-session-affinity", "session_id"].into_iter().find_map(|name| headers.get(name));
    Caller {
        key: bearer(headers).map(|token| hasher.hash_one(token)),
        session: session.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()),
    }
}

/// The token of `Authorization: Bearer TOKEN`.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(header::AUTHORIZATION)?.as_bytes().trim_ascii();
    let (scheme, token) = value.split_at_checked(7)?;
    let token = token.trim_ascii();
    (scheme.eq_ignore_ascii_case(b"bearer ") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(body: &str) -> (String, Option<String>) {
        let error = decode(body.as_bytes()).unwrap_err();
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

    #[test]
    fn a_bearer_token_is_taken_in_any_case_of_its_scheme() {
        let of = |value: &'static str| {
            let headers = HeaderMap::from_iter([(header::AUTHORIZATION, http::HeaderValue::from_static(value))]);
            bearer(&headers).map(<[u8]>::to_vec)
        };
        assert_eq!(of("bearer  sk-1"), Some(b"sk-1".to_vec()));
        assert_eq!(of("Basic sk-1"), None);
        assert_eq!(of("Bearer "), None);
    }
}
