//! Maps a path to its route, wherever the service is mounted.

use std::borrow::Cow;

use http::Method;

/// A route of the API.
#[derive(Debug, PartialEq)]
pub(crate) enum Route<'a> {
    /// `/v1/chat/completions`
    ChatCompletions,
    /// `/v1/responses`
    Responses,
    /// `/v1/responses/input_tokens`
    InputTokens,
    /// `/v1/responses/{id}`, and what may follow: `/input_items`, `/cancel`.
    Response(&'a str),
    /// `/v1/messages`
    Messages,
    /// `/v1/messages/count_tokens`
    CountTokens,
    /// `/`, which Anthropic's clients request to see whether the server is up.
    Root,
    /// `/v1/models`
    Models,
    /// `/v1/models/{id}`, decoded.
    Model(Cow<'a, str>),
    /// `/health`
    Health,
    /// `/live`
    Live,
    /// `/ready`
    Ready,
}

impl<'a> Route<'a> {
    /// The route of a path. A router that the service is nested in may have stripped the `/v1`.
    pub(crate) fn of(path: &'a str) -> Option<Self> {
        let path = path.trim_end_matches('/').trim_start_matches('/');
        match path.strip_prefix("v1/").unwrap_or(path) {
            "chat/completions" => Some(Route::ChatCompletions),
            "responses" => Some(Route::Responses),
            "responses/input_tokens" => Some(Route::InputTokens),
            // Not an id: a conversation is not compacted here.
            "responses/compact" => None,
            "messages" => Some(Route::Messages),
            "messages/count_tokens" => Some(Route::CountTokens),
            "" => Some(Route::Root),
            "models" => Some(Route::Models),
            "health" => Some(Route::Health),
            "live" => Some(Route::Live),
            "ready" => Some(Route::Ready),
            // Ids may have slashes in them: `anthropic/claude-opus-4`.
            path => match path.split_once('/')? {
                ("models", id) => Some(Route::Model(percent_decode(id))),
                ("responses", rest) => match rest.split_once('/') {
                    None | Some((_, "input_items" | "cancel")) => Some(Route::Response(rest)),
                    Some(_) => None,
                },
                _ => None,
            },
        }
    }

    /// The methods that the route accepts, for an `Allow` header.
    pub(crate) fn allow(&self) -> &'static str {
        match self {
            Route::ChatCompletions | Route::Responses | Route::InputTokens | Route::Messages | Route::CountTokens => {
                "POST"
            }
            Route::Response(rest) if rest.ends_with("/cancel") => "POST",
            Route::Response(rest) if !rest.contains('/') => "GET, HEAD, DELETE",
            Route::Response(_) => "GET, HEAD",
            Route::Root | Route::Models | Route::Model(_) | Route::Health | Route::Live | Route::Ready => "GET, HEAD",
        }
    }

    pub(crate) fn allows(&self, method: &Method) -> bool {
        self.allow().split(", ").any(|allowed| allowed == method.as_str())
    }
}

/// Decodes `%2F` and the like. An invalid escape stays as it is, and will match no model.
pub(crate) fn percent_decode(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let bytes = text.as_bytes();
    let digit = |at: usize| bytes.get(at).and_then(|&byte| char::from(byte).to_digit(16));
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        match (bytes[at], digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                decoded.push((high * 16 + low) as u8);
                at += 3;
            }
            (byte, ..) => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    Cow::Owned(String::from_utf8_lossy(&decoded).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_is_found_with_and_without_its_version_and_a_slash_behind() {
        for path in ["/v1/chat/completions", "/chat/completions", "/v1/chat/completions/"] {
            assert_eq!(Route::of(path), Some(Route::ChatCompletions), "{path}");
        }
        assert_eq!(Route::of("/health"), Some(Route::Health));
        assert_eq!(Route::of("/v1/models/"), Some(Route::Models));
        assert_eq!(Route::of("/v1/responses/resp_a/cancel"), Some(Route::Response("resp_a/cancel")));
        assert_eq!(Route::of("/"), Some(Route::Root));
        assert_eq!(Route::of("/v1/messages/count_tokens"), Some(Route::CountTokens));
        for path in [
            "/v1",
            "/v2/models",
            "/v1/chat",
            "/v1/chat/completions/x",
            "/modelsx",
            "/v1/responses/a/b",
            "/v1/responses/compact",
            "/v1/v1/models",
        ] {
            assert_eq!(Route::of(path), None, "{path}");
        }
    }

    #[test]
    fn a_model_id_may_have_slashes_written_out_or_escaped() {
        for path in ["/v1/models/a/b", "/v1/models/a%2Fb", "/models/a%2fb/"] {
            assert_eq!(Route::of(path), Some(Route::Model("a/b".into())), "{path}");
        }
        assert_eq!(Route::of("/v1/models/100%"), Some(Route::Model("100%".into())));
        assert_eq!(Route::of("/v1/models/%zz%C3%A9"), Some(Route::Model("%zzé".into())));
    }
}
