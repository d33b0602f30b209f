//! What the CLI says of the subscription's usage windows: response headers, `/health`, and how long a limit lasts.
//!
//! The CLI tells of them only where it is logged in with a subscription: with a successful answer behind its last
//! message, with a refusal before it (2.1.328). So the headers of an answer are of what was known when it began.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};

/// The `rate_limit_info` of a `rate_limit_event`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct RateLimitInfo {
    /// Of the window that decides.
    #[serde(flatten)]
    window: UsageWindow,
    /// Which one that is: `five_hour`, `seven_day`, ...
    rate_limit_type: Option<String>,
    /// All of them.
    unified_windows: BTreeMap<String, UsageWindow>,
}

/// A usage window of the subscription, as far as Claude Code has told of it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
#[non_exhaustive]
pub struct UsageWindow {
    /// `allowed`, `allowed_warning` or `rejected`.
    pub status: Option<String>,
    /// When it begins anew, in seconds since 1970.
    #[serde(alias = "resetsAt")]
    pub resets_at: Option<f64>,
    /// How much of it is used, from 0 to 1.
    pub utilization: Option<f64>,
}

impl UsageWindow {
    fn until_reset(&self) -> Option<Duration> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
        Some(Duration::try_from_secs_f64(self.resets_at?).ok()?.saturating_sub(now))
    }
}

/// The latest word on the windows.
#[derive(Debug, Default)]
pub(crate) struct Subscription(Mutex<RateLimitInfo>);

impl Subscription {
    pub(crate) fn update(&self, mut info: RateLimitInfo) {
        let mut known = self.lock();
        // An event of one window says nothing of the others.
        for (name, window) in std::mem::take(&mut known.unified_windows) {
            info.unified_windows.entry(name).or_insert(window);
        }
        if let Some(name) = &info.rate_limit_type {
            let window = info.unified_windows.entry(name.clone()).or_default();
            window.status = info.window.status.clone();
            window.resets_at = info.window.resets_at;
            window.utilization = info.window.utilization.or(window.utilization);
            info.window = window.clone();
        }
        *known = info;
    }

    fn lock(&self) -> MutexGuard<'_, RateLimitInfo> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long until the window that refuses requests opens again.
    pub(crate) fn wait(&self) -> Option<Duration> {
        let known = self.lock();
        let refuses = known.window.status.as_deref() == Some("rejected");
        known.window.until_reset().filter(|wait| refuses && !wait.is_zero())
    }

    /// `x-ratelimit-*` for the window that decides.
    pub(crate) fn headers(&self, headers: &mut HeaderMap) {
        let known = self.lock();
        let mut add = |name: &'static str, value: Option<String>| {
            if let Some(value) = value.and_then(|value| HeaderValue::from_str(&value).ok()) {
                headers.insert(HeaderName::from_static(name), value);
            }
        };
        add("x-ratelimit-status", known.window.status.clone());
        add("x-ratelimit-window", known.rate_limit_type.clone());
        add("x-ratelimit-utilization", known.window.utilization.map(|used| used.to_string()));
        let reset = known.window.until_reset();
        add("x-ratelimit-reset-requests", reset.map(|wait| format!("{}s", wait.as_secs())));
    }

    /// Each window by name; empty until the CLI has said something.
    pub(crate) fn windows(&self) -> BTreeMap<String, UsageWindow> {
        self.lock().unified_windows.clone()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn told(info: Value) -> Subscription {
        let subscription = Subscription::default();
        subscription.update(serde_json::from_value(info).unwrap());
        subscription
    }

    #[test]
    fn the_window_that_decides_becomes_headers_and_all_of_them_health() {
        let subscription = told(json!({
            "status": "allowed", "resetsAt": 1.0, "rateLimitType": "five_hour", "isUsingOverage": false,
            "unifiedWindows": {
                "five_hour": {"utilization": 0.93, "resetsAt": 1.0, "status": "allowed_warning"},
                "seven_day": {"utilization": 0.4, "resetsAt": 2.0, "status": "allowed"},
            },
        }));
        let mut headers = HeaderMap::new();
        subscription.headers(&mut headers);
        assert_eq!(headers["x-ratelimit-window"], "five_hour");
        assert_eq!(headers["x-ratelimit-utilization"], "0.93");
        assert_eq!(headers["x-ratelimit-reset-requests"], "0s");
        assert_eq!(subscription.windows()["seven_day"].utilization, Some(0.4));
        assert_eq!(subscription.wait(), None);
    }

    #[test]
    fn a_window_that_refuses_says_how_long() {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
        let subscription = told(json!({"status": "rejected", "resetsAt": now + 3600.0, "rateLimitType": "seven_day"}));
        let wait = subscription.wait().unwrap();
        assert!(wait > Duration::from_secs(3500) && wait <= Duration::from_secs(3600), "{wait:?}");
    }

    #[test]
    fn nothing_known_is_nothing_said() {
        let subscription = told(json!({}));
        let mut headers = HeaderMap::new();
        subscription.headers(&mut headers);
        assert!(headers.is_empty());
        assert_eq!(subscription.windows(), BTreeMap::new());
    }
}
