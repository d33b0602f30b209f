//! The routes of a kept answer: it is fetched, its input listed, its events read again, or it is cancelled or deleted.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Method, Response, StatusCode, header};
use serde_json::json;

use super::Responses;
use super::listing::Page;
use super::record::Record;
use super::writers::Streamed;
use crate::http::Body;
use crate::http::fields::invalid;
use crate::http::response::{event_headers, json_response};
use crate::{Error, ErrorKind};

impl Responses {
    /// Answers a request for `/v1/responses/{path}`.
    pub(crate) async fn about(
        &self,
        method: &Method,
        path: &str,
        query: Option<&str>,
        key: Option<u64>,
        keep_alive: Duration,
    ) -> Result<Response<Body>, Error> {
        let (id, what) = path.split_once('/').unwrap_or((path, ""));
        let answer = id.strip_prefix("resp_").unwrap_or_default();
        self.store.recall(answer).await?;
        let record = self.store.get(answer, key);
        let record = record.ok_or_else(|| {
            let message = format!(
                "Response with id '{id}' not found. It was made with `store` false or another API key, or it is too \
                 old to be kept."
            );
            Error::new(ErrorKind::NotFound, message)
        })?;
        match (what, method) {
            ("input_items", _) => {
                let list = Page::of(&pairs(query))?.list(&record.echo.answer, record.input()?)?;
                json_response(StatusCode::OK, &list)
            }
            ("cancel", _) => {
                if !record.echo.background {
                    let message = "Only a response that was made with `background` true can be cancelled.";
                    return Err(invalid("response_id", message));
                }
                record.cancel();
                self.store.save(&record).await;
                Ok(object(&record))
            }
            (_, &Method::DELETE) => {
                record.cancel();
                self.store.remove(&record.echo.answer).await?;
                json_response(StatusCode::OK, &json!({"id": id, "object": "response", "deleted": true}))
            }
            _ => retrieve(record, &pairs(query), keep_alive),
        }
    }
}

fn retrieve(record: Arc<Record>, query: &[(String, String)], keep_alive: Duration) -> Result<Response<Body>, Error> {
    let value = |wanted: &str| query.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
    let had =
        match value("starting_after") {
            None => None,
            Some(number) => Some(number.parse().map_err(|_| {
                invalid("starting_after", "`starting_after` must be the `sequence_number` of an event.")
            })?),
        };
    if value("stream") != Some("true") {
        return Ok(object(&record));
    }
    let mut response = Response::new(Streamed::again(record, had, keep_alive));
    event_headers(response.headers_mut());
    Ok(response)
}

fn object(record: &Record) -> Response<Body> {
    let mut response = Response::new(Body::from(record.object()));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

impl Record {
    /// The answer as it is now, as JSON.
    pub(crate) fn object(&self) -> Bytes {
        let mut json = BytesMut::new();
        self.answer().write_object(&mut json);
        json.freeze()
    }
}

/// The names and values of a query.
fn pairs(query: Option<&str>) -> Vec<(String, String)> {
    let query = query.unwrap_or_default();
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let decode = |text: &str| crate::http::route::percent_decode(text).into_owned();
    pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))).map(|(n, v)| (decode(n), decode(v))).collect()
}
