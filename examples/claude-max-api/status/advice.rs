//! What an operator can do about each kind of failure.

use tower_claude::ErrorKind;

/// A sentence or two.
pub(super) fn advice(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Authentication => "Claude Code is not logged in: run `claude` on this machine and use /login.",
        ErrorKind::Billing => "The account behind Claude Code cannot be charged: look at its billing.",
        ErrorKind::ExtraUsage => "The plan does not cover it: enable extra usage for the account, or use an API key.",
        ErrorKind::Permission => "The account or its organisation may not do this: ask who runs it.",
        ErrorKind::RateLimited => "The plan's limit is reached: wait for its window, shown here, or raise the plan.",
        ErrorKind::Overage => {
            "The plan's window is used up, and --overage refuse keeps requests from extra usage: wait, or allow it."
        }
        ErrorKind::QueueFull => {
            "All processes are busy: raise --max-processes where memory allows (150 MB each), or queue-timeout in the settings file."
        }
        ErrorKind::Overloaded => "Anthropic's API is overloaded: it passes.",
        ErrorKind::Upstream => "Anthropic's API failed, or the connection to it: try again; the log has its words.",
        ErrorKind::Cli => {
            "Claude Code is missing, too old, or crashed: run `claude-max-api doctor`; the log has its words."
        }
        ErrorKind::FirstTokenTimeout => {
            "The model did not begin in time: raise --first-token-timeout if it may take longer."
        }
        ErrorKind::RequestTimeout => "An answer took too long: raise --request-timeout if it may take longer.",
        ErrorKind::InvalidApiKey => "A client sent no key, or a wrong one: give it the right one.",
        ErrorKind::ModelNotFound => {
            "A client asked for a model that is not there: GET /v1/models lists those that are."
        }
        ErrorKind::ContextLengthExceeded => {
            "A conversation was longer than the model's context window: its client must shorten it."
        }
        ErrorKind::RequestTooLarge => "A request was too large: its client must send less, or raise --body-limit.",
        ErrorKind::Forbidden => "A page or host name was refused: let it in by --allow-origin or --allow-host.",
        ErrorKind::Internal => "A fault of this server: please report it with the log's words.",
        _ => "A client's request was not valid: it was told what is wrong with it.",
    }
}
