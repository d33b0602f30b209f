//! What the CLI says of the subscription's usage windows: response headers, `/health`, and how long a limit lasts.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// The `rate_limit_info` of a `rate_limit_event`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct RateLimitInfo {
    status: Option<String>,
    /// In seconds since 1970.
    resets_at: Option<f64>,
    /// `five_hour`, `seven_day`, ...
    rate_limit_type: Option<String>,
    /// How much of the window is used: 0 to 1, or to 100.
    utilization: Option<f64>,
}

/// The latest word on each window.
#[derive(Debug, Default)]
pub(crate) struct Subscription(Mutex<Vec<RateLimitInfo>>);

impl Subscription {
    pub(crate) fn update(&self, info: RateLimitInfo) {
        let mut windows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        windows.retain(|window| window.rate_limit_type != info.rate_limit_type);
        windows.push(info);
    }

    /// How long until the window that refuses requests opens again.
    pub(crate) fn wait(&self) -> Option<Duration> {
        let windows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let refused = windows.iter().filter(|window| window.status.as_deref() == Some("rejected"));
        // One that has opened since says nothing.
        refused.filter_map(|window| until(window.resets_at?)).filter(|wait| !wait.is_zero()).max()
    }

    /// `x-ratelimit-*` for the window that was named last.
    pub(crate) fn headers(&self, headers: &mut HeaderMap) {
        let windows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(window) = windows.last() else { return };
        let mut add = |name: &'static str, value: Option<String>| {
            if let Some(value) = value.and_then(|value| HeaderValue::from_str(&value).ok()) {
                headers.insert(HeaderName::from_static(name), value);
            }
        };
        add("x-ratelimit-status", window.status.clone());
        add("x-ratelimit-window", window.rate_limit_type.clone());
        add("x-ratelimit-utilization", window.utilization.map(|used| used.to_string()));
        let reset = window.resets_at.and_then(until);
        add("x-ratelimit-reset-requests", reset.map(|wait| format!("{}s", wait.as_secs())));
    }

    /// A block for `GET /health`: each window by name; empty until the CLI has said something.
    pub(crate) fn health(&self) -> Value {
        let windows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let windows: Map<String, Value> = windows
            .iter()
            .map(|window| {
                let name = window.rate_limit_type.clone().unwrap_or_else(|| "unknown".to_owned());
                let RateLimitInfo { status, resets_at, utilization, .. } = window;
                (name, json!({"status": status, "resets_at": resets_at, "utilization": utilization}))
            })
            .collect();
        Value::Object(windows)
    }
}

fn until(resets_at: f64) -> Option<Duration> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    Some(Duration::try_from_secs_f64(resets_at).ok()?.saturating_sub(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rejected(window: &str, in_seconds: i64) -> RateLimitInfo {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64;
        let info = json!({"status": "rejected", "rateLimitType": window, "resetsAt": now + in_seconds});
        serde_json::from_value(info).unwrap()
    }

    #[test]
    fn the_wait_is_for_the_last_window_to_open_and_not_for_one_that_has() {
        let subscription = Subscription::default();
        assert_eq!(subscription.wait(), None);
        subscription.update(rejected("five_hour", -10));
        assert_eq!(subscription.wait(), None);
        subscription.update(rejected("five_hour", 100));
        subscription.update(rejected("seven_day", 1000));
        assert!((990..=1000).contains(&subscription.wait().unwrap().as_secs()));
    }
}
