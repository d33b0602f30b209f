//! The page at `/`: one self-contained file, which fetches nothing but the report.

use http::{HeaderName, HeaderValue, Response, header};
use tower_claude::http::Body;
use uuid::Uuid;

use super::respond;

const PAGE: &str = include_str!("page.html");

/// The placeholder in the file for the nonce by which the content security policy allows its style and script.
const NONCE: &str = "{{nonce}}";

/// The page. It contains nothing secret: it fetches all that it shows with the key.
pub(super) fn response() -> Response<Body> {
    let nonce = Uuid::new_v4().simple().to_string();
    let mut response = respond("text/html; charset=utf-8", PAGE.replace(NONCE, &nonce).into());
    let policy = format!(
        "default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; connect-src 'self'; \
         img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    let headers = response.headers_mut();
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
