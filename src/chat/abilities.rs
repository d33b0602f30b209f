//! What a service of chat requests can do, as it says itself.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

/// What a service of chat requests makes of a request's settings: by this the HTTP edge lets a field through, names it
/// in `x-ignored-parameters`, or refuses it with 400.
///
/// Of what nothing is said here, the edge thinks well: every setting that an API knows is taken to be honoured, and
/// handed on in [`ChatRequest::extra`](crate::ChatRequest::extra). Fields that no API knows are named as ignored, and what no
/// answer of this crate could hold (audio, token probabilities) is refused.
///
/// Names are those of Chat Completions, or of the API that alone has the setting: `temperature`, `top_k`. Below the top
/// level they are written as the header has them (`messages[].reasoning_content`), and a content part goes by its type
/// (`image_url`, `input_audio`). Of the settings that a [`ChatRequest`](crate::ChatRequest) has names for, these can be
/// ignored or refused: `max_completion_tokens`, `parallel_tool_calls`, `prompt_cache_key`, `reasoning_effort`,
/// `response_format` and `tools`. `stop` and `n` the edge sees to.
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

/// What becomes of a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ability {
    Honoured,
    Ignored,
    /// With what to do instead.
    Refused(Cow<'static, str>),
}

impl Abilities {
    /// Nothing is said yet.
    pub fn new() -> Self {
        Abilities::default()
    }

    /// These have their effect. Fields that no API knows, and those that the edge would refuse, reach the service too.
    #[must_use]
    pub fn honours<N: Into<Cow<'static, str>>>(self, names: impl IntoIterator<Item = N>) -> Self {
        self.state(names, Ability::Honoured)
    }

    /// These have no effect: clients are told so by `x-ignored-parameters`.
    #[must_use]
    pub fn ignores<N: Into<Cow<'static, str>>>(self, names: impl IntoIterator<Item = N>) -> Self {
        self.state(names, Ability::Ignored)
    }

    /// Without this an answer would not be what was asked for: it is refused with 400. `advice` says in a sentence or two
    /// why, and what to do instead.
    #[must_use]
    pub fn refuses(self, name: impl Into<Cow<'static, str>>, advice: impl Into<Cow<'static, str>>) -> Self {
        self.state([name], Ability::Refused(advice.into()))
    }

    /// An answer cannot go on from an assistant message at the end of the conversation: it is refused with 400.
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

    /// What is said of this setting, if anything.
    #[cfg(any(feature = "http", test))]
    pub(crate) fn of(&self, name: &str) -> Option<&Ability> {
        self.stated.get(name)
    }

    /// Why a conversation must not end with the assistant's message, where it must not.
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
