//! What Claude Code can do with the settings of a request, and what is known of its models.

use super::ClaudeCli;
use crate::chat::{Abilities, Model};

/// The CLI has no such setting (2.1.328).
const IGNORED: [&str; 14] = [
    "context_management",
    "frequency_penalty",
    "inference_geo",
    "logit_bias",
    "max_tool_calls",
    "prediction",
    "presence_penalty",
    "prompt_cache_options",
    "prompt_cache_retention",
    "seed",
    "service_tier",
    "temperature",
    "top_p",
    "verbosity",
];

/// Settings of the Messages API alone, below its top level or not.
const IGNORED_OF_MESSAGES: [&str; 2] = [
    // Models with adaptive thinking ignore a budget (2.1.328).
    "thinking.budget_tokens",
    "top_k",
];

impl ClaudeCli {
    /// What Claude Code can do, for [`ApiService::abilities`](crate::http::ApiService::abilities): clients are told which
    /// settings have no effect, and requests for what it cannot do are refused.
    ///
    /// ```
    /// use tower_claude::cli::ClaudeCli;
    /// use tower_claude::http::ApiService;
    ///
    /// let api = ApiService::new(ClaudeCli::default()).abilities(ClaudeCli::abilities());
    /// ```
    pub fn abilities() -> Abilities {
        const NO_PROBABILITIES: &str = "Claude does not report token probabilities: leave it out.";
        Abilities::new()
            .ignores(IGNORED)
            .ignores(IGNORED_OF_MESSAGES)
            .refuses("audio", "Claude answers in text: leave `audio` out.")
            .refuses("input_audio", "Claude does not hear: send a transcript as a `text` part.")
            .refuses("logprobs", NO_PROBABILITIES)
            .refuses("modalities", "Claude answers in text: send [\"text\"].")
            .refuses("top_logprobs", NO_PROBABILITIES)
            .refuses_prefill("Claude answers a user's turn: end with a `user` or `tool` message.")
    }

    /// The same with these of Claude Code's own tools on ([`builtin_tools`](crate::cli::ClaudeCliBuilder::builtin_tools)):
    /// clients that ask for a hosted web search or web fetch, which the API's vendor would run, get it from `WebSearch` and
    /// `WebFetch`.
    ///
    /// ```
    /// use tower_claude::cli::ClaudeCli;
    ///
    /// let abilities = ClaudeCli::abilities_with(["Read", "WebSearch"]);
    /// ```
    pub fn abilities_with(builtin_tools: impl IntoIterator<Item = impl AsRef<str>>) -> Abilities {
        builtin_tools.into_iter().fold(ClaudeCli::abilities(), |abilities, tool| match tool.as_ref() {
            "WebSearch" => abilities.honours(["tools.web_search"]),
            "WebFetch" => abilities.honours(["tools.web_fetch"]),
            _ => abilities,
        })
    }

    /// What is known of a model of Claude Code's by its id, for [`ApiService::models`](crate::http::ApiService::models).
    pub fn model(id: impl Into<String>) -> Model {
        let id = id.into();
        // In Claude Code, the ids of models with the long context window end in this.
        let window = if id.ends_with("[1m]") { 1_000_000 } else { 200_000 };
        Model::new(id).owned_by("anthropic").context_window(window)
    }
}
