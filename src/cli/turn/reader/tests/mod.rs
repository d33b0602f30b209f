//! What the CLI's lines mean, and what becomes of lines that mean nothing.

mod damaged;
mod meaning;

use crate::ChatRequest;
use crate::cli::conversation::PreparedRequest;

/// A request with the functions `exec` and `look`, for any JSON if there is to be a `schema`.
fn prepared(schema: bool) -> PreparedRequest {
    let format = if schema { r#","response_format":{"type":"json_object"}"# } else { "" };
    let tools = ["exec", "look"].map(|name| format!(r#"{{"type":"function","function":{{"name":"{name}"}}}}"#));
    let json = format!(
        r#"{{"model":"opus","messages":[{{"role":"user","content":"hi"}}],"tools":[{}]{format}}}"#,
        tools.join(",")
    );
    let request: ChatRequest = serde_json::from_str(&json).unwrap();
    PreparedRequest::of(request)
}
