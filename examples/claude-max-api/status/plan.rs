//! What a server's health means for its requests, in the words that the page, `status` and `doctor` share.

use serde::Serialize;
use serde_json::{Map, Value};

use super::span::span;

/// The server's state, as an operator sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    Ready,
    Answering,
    /// The plan, or the operator's limit on its use, lets no requests through.
    Limited,
    /// Claude Code does not start.
    Degraded,
}

/// What is known about the plan.
#[derive(Debug, Serialize)]
pub(super) struct Plan {
    pub(super) windows: Vec<Window>,
    /// Whether requests draw on extra usage, in words. `None` until Claude Code has reported it.
    pub(super) overage: Option<&'static str>,
}

/// A usage window of the plan.
#[derive(Debug, Serialize)]
pub(super) struct Window {
    /// What people call it: `5 hours`.
    pub(super) name: String,
    pub(super) level: Level,
    /// From 0 to 1.
    pub(super) used: Option<f64>,
    /// When it resets, in seconds since 1970.
    resets_at: Option<f64>,
    /// Its state in words: `begins anew in 2 h 5 min`.
    pub(super) words: String,
}

/// How full a window is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Level {
    Fine,
    /// Claude Code warns about it, or soon will.
    High,
    UsedUp,
}

/// Something that an operator should know at once.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Notice {
    /// Whether requests fail because of it.
    pub(crate) bad: bool,
    pub(crate) text: String,
}

/// What follows from a server's health, in the form that `/health` and `/status` share.
pub(crate) struct Judged {
    pub(super) state: State,
    pub(super) plan: Plan,
    pub(crate) notices: Vec<Notice>,
}

impl Judged {
    /// `refuses_overage` is whether the server refuses requests that would draw on extra usage, if known. `now` is in
    /// seconds since 1970.
    pub(crate) fn of(health: &Value, refuses_overage: Option<bool>, now: u64) -> Judged {
        let windows = health["subscription"].as_object().into_iter().flat_map(Map::iter);
        let windows: Vec<Window> = windows.map(|(name, window)| Window::of(name, window, now as f64)).collect();
        let overage = health["overage"].as_bool();
        let drawn_on = overage == Some(true);
        let degraded = health["status"] != "ok";
        let refused = if drawn_on { refuses_overage == Some(true) } else { windows.iter().any(Window::used_up) };
        let state = match () {
            () if degraded => State::Degraded,
            () if refused => State::Limited,
            () if health["processes"]["busy"].as_u64() > Some(0) => State::Answering,
            () => State::Ready,
        };

        let mut notices = Vec::new();
        let mut notice = |bad, text| notices.push(Notice { bad, text });
        if degraded {
            let text = "Claude Code fails to start: only conversations that a process holds already are answered. Run \
                        `claude-max-api doctor` on the server; its log says more.";
            notice(true, text.to_owned());
        }
        let consequence = match (drawn_on, refuses_overage) {
            (false, _) => "requests are refused.",
            (true, Some(false)) => "requests draw on extra usage, which may be charged for.",
            (true, Some(true)) => "requests are refused, since --overage refuse keeps them from extra usage.",
            (true, None) => "requests draw on extra usage, which may be charged for, or --overage refuse refuses them.",
        };
        for window in windows.iter().filter(|window| window.used_up()) {
            notice(
                refused,
                format!("The plan's window of {} is used up and {}: {consequence}", window.name, window.words),
            );
        }
        if drawn_on && !windows.iter().any(Window::used_up) {
            notice(refused, format!("The plan is used up: {consequence}"));
        }
        // If more requests are at work than there are processes, the rest wait for memory or CPU to start one.
        let count = |value: &Value| value.as_u64().unwrap_or(0);
        let starting = count(&health["processes"]["busy"]).saturating_sub(count(&health["processes"]["total"]));
        match count(&health["queue"]["length"]).saturating_add(starting) {
            0 => {}
            1 => notice(false, "One request waits for a process.".to_owned()),
            waiting => notice(false, format!("{waiting} requests wait for a process.")),
        }
        let words = |drawn_on| match (drawn_on, refuses_overage) {
            (true, Some(true)) => "Extra usage is refused (--overage refuse).",
            (true, _) => "Extra usage is drawn on: it may be charged for.",
            (false, _) => "No extra usage is drawn on.",
        };
        Judged { state, plan: Plan { windows, overage: overage.map(words) }, notices }
    }
}

impl Window {
    fn of(name: &str, window: &Value, now: f64) -> Self {
        let name = match name {
            "five_hour" => "5 hours".to_owned(),
            "seven_day" => "7 days".to_owned(),
            "seven_day_opus" => "7 days, Opus".to_owned(),
            "seven_day_sonnet" => "7 days, Sonnet".to_owned(),
            other => other.replace('_', " "),
        };
        let (status, used) = (window["status"].as_str(), window["utilization"].as_f64());
        let resets_at = window["resets_at"].as_f64();
        let left = resets_at.map(|at| at - now);
        let over = left.is_some_and(|left| left <= 0.0);
        let level = match status {
            _ if over => Level::Fine,
            Some("rejected") => Level::UsedUp,
            Some("allowed_warning") => Level::High,
            _ if used >= Some(0.8) => Level::High,
            _ => Level::Fine,
        };
        let words = match left {
            None => "does not say when it begins anew".to_owned(),
            Some(_) if over => "has begun anew".to_owned(),
            Some(left) => format!("begins anew in {}", span(left as u64)),
        };
        // Usage from before the reset no longer counts.
        Window { name, level, used: used.filter(|_| !over), resets_at, words }
    }

    fn used_up(&self) -> bool {
        self.level == Level::UsedUp
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: u64 = 1_000_000;

    fn judged(health: &Value, refuses_overage: Option<bool>) -> (State, Vec<Notice>) {
        let Judged { state, notices, .. } = Judged::of(health, refuses_overage, NOW);
        (state, notices)
    }

    fn limited(resets_at: u64, overage: bool) -> Value {
        json!({"status": "ok", "overage": overage, "subscription": {
            "five_hour": {"status": "rejected", "resets_at": resets_at, "utilization": 1.0},
            "seven_day": {"status": "allowed", "resets_at": NOW + 90_000, "utilization": 0.4},
        }})
    }

    #[test]
    fn a_window_that_is_used_up_refuses_requests_until_it_begins_anew() {
        let (state, notices) = judged(&limited(NOW + 7_500, false), None);
        let text = "The plan's window of 5 hours is used up and begins anew in 2 h 5 min: requests are refused.";
        assert_eq!((state, notices), (State::Limited, vec![Notice { bad: true, text: text.to_owned() }]));
        assert_eq!(judged(&limited(NOW - 1, false), None), (State::Ready, vec![]));
    }

    #[test]
    fn extra_usage_lets_requests_through_unless_the_operator_does_not_want_that() {
        for (refuses, state, consequence) in [
            (Some(false), State::Ready, "requests draw on extra usage, which may be charged for."),
            (Some(true), State::Limited, "requests are refused, since --overage refuse keeps them from extra usage."),
            (None, State::Ready, "which may be charged for, or --overage refuse refuses them."),
        ] {
            let (is, notices) = judged(&limited(NOW + 60, true), refuses);
            assert_eq!((is, notices[0].bad), (state, refuses == Some(true)));
            assert!(notices[0].text.ends_with(consequence), "{notices:?}");
            let (is, notices) = judged(&json!({"status": "ok", "overage": true}), refuses);
            assert!(is == state && notices[0].text.starts_with("The plan is used up: "), "{notices:?}");
            assert!(notices[0].text.ends_with(consequence), "{notices:?}");
        }
    }

    #[test]
    fn what_does_not_start_and_what_waits_is_told() {
        let health = json!({"status": "degraded", "queue": {"length": 2}, "processes": {"busy": 8, "total": 5}});
        let (state, notices) = judged(&health, None);
        assert_eq!(state, State::Degraded);
        assert!(notices[0].bad && notices[0].text.contains("claude-max-api doctor"), "{notices:?}");
        assert_eq!(notices[1], Notice { bad: false, text: "5 requests wait for a process.".to_owned() });
    }
}
