//! What the inner service says it can do.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

#[cfg(any(feature = "cli", feature = "http"))]
use http::HeaderName;

/// The header that names the fields of a request that have no effect. The edge writes it. An inner service may set it in
/// [`ChatResponse::headers`](crate::ChatResponse::headers) to name further ones.
#[cfg(any(feature = "cli", feature = "http"))]
pub(crate) const IGNORED_HEADER: HeaderName = HeaderName::from_static("x-ignored-parameters");

/// What a service of chat requests does with a request's settings. From this the HTTP edge decides whether to let a field
/// through, name it in `x-ignored-parameters`, or refuse it with 400.
///
/// Of the settings that are not listed here, those that an API knows count as honoured and are passed on in
/// [`ChatRequest::extra`](crate::ChatRequest::extra). Fields that no API knows are named as ignored, and whatever this
/// crate's answers cannot carry (audio, token probabilities) is refused.
///
/// Names are those of Chat Completions, or of the only API that has the setting: `temperature`, `top_k`. Nested fields are
/// written as in the header (`messages[].reasoning_content`), and a content part goes by its type (`image_url`,
/// `input_audio`). Of the settings that are fields of [`ChatRequest`](crate::ChatRequest), these can be ignored or refused:
/// `max_completion_tokens`, `parallel_tool_calls`, `prompt_cache_key`, `reasoning_effort`, `response_format` and `tools`.
/// The edge itself handles `stop` and `n`.
///
/// ```
/// use tower_claude::chat::Abilities;
///
/// let abilities = Abilities::new()
///     .honours(["top_k"])
///     .ignores(["frequency_penalty", "presence_penalty"])
///     .refuses("seed", "The model is never the same twice: leave `seed` out.")
///     .refuses_prefill("The model begins its answers itself. End with a `user` message.");
/// # let _ = abilities;
/// ```
#[derive(Clone, Debug, Default)]
pub struct Abilities {
    stated: Arc<HashMap<Cow<'static, str>, Ability>>,
    no_prefill: Option<Cow<'static, str>>,
}

/// What the service does with a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ability {
    Honoured,
    Ignored,
    /// Holds advice on what to do instead.
    Refused(Cow<'static, str>),
}

impl Abilities {
    /// Lists no settings.
    pub fn new() -> Self {
        Abilities::default()
    }

    /// These have an effect. Naming a field here passes it on even if no API knows it, or if the edge would refuse it.
    #[must_use]
    pub fn honours<N: Into<Cow<'static, str>>>(self, names: impl IntoIterator<Item = N>) -> Self {
        self.state(names, Ability::Honoured)
    }

    /// These have no effect, which `x-ignored-parameters` tells clients.
    #[must_use]
    pub fn ignores<N: Into<Cow<'static, str>>>(self, names: impl IntoIterator<Item = N>) -> Self {
        self.state(names, Ability::Ignored)
    }

    /// A request with this setting is refused with 400, because an answer without it would not be what was asked for.
    /// `advice` says why in a sentence or two, and what to do instead.
    #[must_use]
    pub fn refuses(self, name: impl Into<Cow<'static, str>>, advice: impl Into<Cow<'static, str>>) -> Self {
        self.state([name], Ability::Refused(advice.into()))
    }

    /// A conversation that ends with an assistant message, for the answer to continue, is refused with 400.
    /// `advice` says why, and what to do instead.
    #[must_use]
    pub fn refuses_prefill(mut self, advice: impl Into<Cow<'static, str>>) -> Self {
        self.no_prefill = Some(advice.into());
        self
    }

    fn state<N: Into<Cow<'static, str>>>(mut self, names: impl IntoIterator<Item = N>, ability: Ability) -> Self {
        let stated = Arc::make_mut(&mut self.stated);
        stated.extend(names.into_iter().map(|name| (name.into(), ability.clone())));
        self
    }

    /// The ability listed for this setting, if any.
    #[cfg(any(feature = "http", test))]
    pub(crate) fn of(&self, name: &str) -> Option<&Ability> {
        self.stated.get(name)
    }

    /// Why a conversation must not end with an assistant message; `None` if it may.
    #[cfg(feature = "http")]
    pub(crate) fn no_prefill(&self) -> Option<&str> {
        self.no_prefill.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_last_counts() {
        let abilities = Abilities::new().ignores(["seed", "top_p"]).honours(["seed"]);
        assert_eq!(abilities.of("seed"), Some(&Ability::Honoured));
        assert_eq!(abilities.of("top_p"), Some(&Ability::Ignored));
        assert_eq!(abilities.of("temperature"), None);
    }
}
