//! What a process can be told at any time: model, effort and limits. The CLI keeps each until it is undone.

use serde_json::{Value, json};

use crate::chat::{ChatRequest, Thinking};
use crate::cli::protocol::{AHEAD, Outgoing};

/// The most that is written to a process that may not be reading yet: a pipe holds at least this much.
const MAX_AHEAD_BYTES: usize = 4096;

/// The settings of a request, and of a process.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Settings {
    pub(crate) model: Option<String>,
    pub(crate) effort: Option<&'static str>,
    pub(crate) max_tokens: Option<u32>,
    /// No thinking at all.
    pub(crate) no_thinking: bool,
    /// Roughly how many tokens of thinking there may be. Models with adaptive thinking ignore it (2.1.328).
    pub(crate) thinking_budget: Option<u32>,
    /// Whether the API is asked for a summary of the thinking. Otherwise the CLI chooses what is shown.
    pub(crate) summarizes_thinking: bool,
}

impl Settings {
    pub(crate) fn of(request: &ChatRequest) -> Self {
        let effort = match request.reasoning_effort.as_deref() {
            Some("none" | "minimal" | "low") => Some("low"),
            Some("medium") => Some("medium"),
            Some("high") => Some("high"),
            Some("xhigh") => Some("xhigh"),
            Some("max") => Some("max"),
            _ => None,
        };
        Settings {
            model: (!request.model.is_empty()).then(|| request.model.clone()),
            effort,
            max_tokens: request.token_limit(),
            no_thinking: request.reasoning_effort.as_deref() == Some("none")
                || request.thinking == Some(Thinking::Disabled),
            thinking_budget: match request.thinking {
                Some(Thinking::Budget(budget)) => Some(budget),
                _ => None,
            },
            summarizes_thinking: request.summarizes_reasoning,
        }
    }

    /// The control requests that give a new process these settings before there is a request for it: the CLI takes 14 ms
    /// over them, longer than over all else that it is sent before a first turn (2.1.328). `None` if they are too long.
    pub(crate) fn ahead(&self) -> Option<Outgoing> {
        let mut out = Outgoing::default();
        Settings::default().tell(self, AHEAD, &mut out);
        (out.as_bytes().len() <= MAX_AHEAD_BYTES).then_some(out)
    }

    /// Makes the CLI say which model it uses where the request names none.
    pub(crate) fn name_default_model(out: &mut Outgoing) {
        out.control("model", &json!({"subtype": "set_model", "model": "default"}));
    }

    /// Writes the control requests that lead from these settings to others.
    pub(crate) fn change_to(&self, wanted: &Settings, out: &mut Outgoing) {
        self.tell(wanted, "", out);
    }

    fn tell(&self, wanted: &Settings, prefix: &str, out: &mut Outgoing) {
        let mut control = |name: &str, request: Value| out.control(&format!("{prefix}{name}"), &request);
        if self.model != wanted.model {
            let model = wanted.model.as_deref().unwrap_or("default");
            control("model", json!({"subtype": "set_model", "model": model}));
        }
        // "" undoes a variable; leaving it out, or null, does not (2.1.328).
        let mut variables = serde_json::Map::new();
        if self.max_tokens != wanted.max_tokens {
            let limit = wanted.max_tokens.map(|limit| limit.to_string()).unwrap_or_default();
            variables.insert("CLAUDE_CODE_MAX_OUTPUT_TOKENS".to_owned(), json!(limit));
        }
        if self.no_thinking != wanted.no_thinking {
            // A budget of 0 would not turn it off on models with adaptive thinking (2.1.328).
            let disabled = if wanted.no_thinking { "1" } else { "" };
            variables.insert("CLAUDE_CODE_DISABLE_THINKING".to_owned(), json!(disabled));
        }
        let thinking = |of: &Settings| (of.thinking_budget, of.summarizes_thinking);
        if thinking(self) != thinking(wanted) {
            let display = wanted.summarizes_thinking.then_some("summarized");
            control(
                "thinking",
                json!({"subtype": "set_max_thinking_tokens", "max_thinking_tokens": wanted.thinking_budget,
                    "thinking_display": display}),
            );
        }
        let mut settings = serde_json::Map::new();
        if !variables.is_empty() {
            settings.insert("env".to_owned(), Value::Object(variables));
        }
        if self.effort != wanted.effort {
            settings.insert("effortLevel".to_owned(), json!(wanted.effort));
        }
        if !settings.is_empty() {
            control("settings", json!({"subtype": "apply_flag_settings", "settings": settings}));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thinking_is_turned_off_by_either_doors_word_for_it() {
        let off = |request: ChatRequest| Settings::of(&request).no_thinking;
        assert!(off(ChatRequest { thinking: Some(Thinking::Disabled), ..ChatRequest::default() }));
        assert!(off(ChatRequest { reasoning_effort: Some("none".to_owned()), ..ChatRequest::default() }));
        assert!(!off(ChatRequest { thinking: Some(Thinking::Adaptive), ..ChatRequest::default() }));
    }
}
