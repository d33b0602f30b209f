//! What the server makes of the plan's windows, by its own module.

#[path = "../../../examples/claude-max-api/status/plan.rs"]
#[allow(dead_code)]
mod judged;
#[path = "../../../examples/claude-max-api/status/span.rs"]
mod span;

use serde_json::{Value, json};

use self::judged::{Judged, Notice, State};

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
