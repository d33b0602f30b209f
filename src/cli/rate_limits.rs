//! What the CLI says about the subscription's usage windows: for response headers, `/health`, and how long a limit lasts.
//!
//! The CLI reports them only when it is logged in with a subscription: after the last message of a successful answer, and
//! before that of a refusal (2.1.328). So an answer's headers tell what was known when it began.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};

use crate::{Error, ErrorKind};

/// The `rate_limit_info` of a `rate_limit_event`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct RateLimitInfo {
    /// The window that decides.
    #[serde(flatten)]
    window: UsageWindow,
    /// Its name: `five_hour`, `seven_day`, ...
    rate_limit_type: Option<String>,
    /// Whether the window is used up, and requests draw on extra usage.
    is_using_overage: Option<bool>,
    /// Until when they do.
    #[serde(skip)]
    overage_until: Option<SystemTime>,
    /// All windows.
    unified_windows: BTreeMap<String, UsageWindow>,
}

/// A usage window of the subscription, as far as Claude Code has reported it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
#[non_exhaustive]
pub struct UsageWindow {
    /// `allowed`, `allowed_warning` or `rejected`.
    pub status: Option<String>,
    /// When it resets, in seconds since 1970.
    #[serde(alias = "resetsAt")]
    pub resets_at: Option<f64>,
    /// How much of it is used, from 0 to 1.
    pub utilization: Option<f64>,
}

impl UsageWindow {
    /// Whether it is used up, as far as is known: a report holds until the window resets.
    pub(crate) fn is_used_up(&self) -> bool {
        self.status.as_deref() == Some("rejected") && self.until_reset().is_none_or(|wait| !wait.is_zero())
    }

    fn until_reset(&self) -> Option<Duration> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
        Some(Duration::try_from_secs_f64(self.resets_at?).ok()?.saturating_sub(now).min(MAX_WINDOW))
    }
}

/// No window lasts longer: whatever the CLI says, no client is told to wait for years.
const MAX_WINDOW: Duration = Duration::from_secs(31 * 24 * 3600);

/// How long a report of extra usage counts if it does not say when the window resets.
const OVERAGE_WITHOUT_END: Duration = Duration::from_secs(300);

/// The latest report on the windows.
#[derive(Debug, Default)]
pub(crate) struct Subscription(Mutex<RateLimitInfo>);

impl Subscription {
    pub(crate) fn update(&self, mut info: RateLimitInfo) {
        let mut known = self.lock();
        // An event about one window says nothing about the others.
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
        match info.is_using_overage {
            Some(false) => {}
            Some(true) => {
                let left = info.window.until_reset().unwrap_or(OVERAGE_WITHOUT_END);
                info.overage_until = SystemTime::now().checked_add(left);
            }
            None => (info.is_using_overage, info.overage_until) = (known.is_using_overage, known.overage_until),
        }
        *known = info;
    }

    fn lock(&self) -> MutexGuard<'_, RateLimitInfo> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long until the window that refuses requests opens again.
    pub(crate) fn wait(&self) -> Option<Duration> {
        let known = self.lock();
        known.window.until_reset().filter(|_| known.window.is_used_up())
    }

    /// Whether requests draw on extra usage now; `None` until the CLI has said.
    pub(crate) fn overage(&self) -> Option<bool> {
        let told = self.lock().is_using_overage;
        told.map(|_| self.until_no_overage().is_some())
    }

    /// For how much longer requests draw on extra usage, if they do.
    pub(crate) fn until_no_overage(&self) -> Option<Duration> {
        let until = self.lock().overage_until?;
        until.duration_since(SystemTime::now()).ok().filter(|left| !left.is_zero())
    }

    /// Refuses a request that would draw on extra usage.
    pub(crate) fn refuse_overage(&self) -> Result<(), Error> {
        let Some(left) = self.until_no_overage() else { return Ok(()) };
        let message = "The subscription's window is used up, and this server does not go on into extra usage, which is \
                       charged for: try again when the window has reset, or allow it (overage).";
        Err(Error::new(ErrorKind::Overage, message).with_retry_after(left))
    }

    /// `x-ratelimit-*` for the window that decides.
    pub(crate) fn headers(&self, headers: &mut HeaderMap) {
        let overage = self.overage();
        let known = self.lock();
        let mut add = |name: &'static str, value: Option<String>| {
            if let Some(value) = value.and_then(|value| HeaderValue::from_str(&value).ok()) {
                headers.insert(HeaderName::from_static(name), value);
            }
        };
        add("x-ratelimit-overage", overage.map(|overage| overage.to_string()));
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
        for (resets_at, used_up) in [(json!(now + 3600.0), true), (json!(null), true), (json!(now - 1.0), false)] {
            let subscription = told(json!({"status": "rejected", "resetsAt": resets_at, "rateLimitType": "seven_day"}));
            assert_eq!(subscription.windows()["seven_day"].is_used_up(), used_up, "{resets_at}");
        }
    }

    #[test]
    fn extra_usage_is_refused_until_the_window_resets_where_the_operator_says_so() {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
        let window = |resets_at: Option<f64>, overage: Option<bool>| json!({"status": "rejected", "resetsAt": resets_at, "rateLimitType": "five_hour", "isUsingOverage": overage});
        let subscription = told(window(Some(now + 3600.0), Some(true)));
        assert_eq!(subscription.overage(), Some(true));
        let error = subscription.refuse_overage().unwrap_err();
        assert_eq!((error.kind(), error.status().as_u16()), (ErrorKind::Overage, 429));
        assert!((3500..=3600).contains(&error.retry_after().unwrap().as_secs()), "{error:?}");
        let mut headers = HeaderMap::new();
        subscription.headers(&mut headers);
        assert_eq!(headers["x-ratelimit-overage"], "true");
        // A report that does not mention extra usage changes nothing about it.
        subscription.update(serde_json::from_value(window(Some(now + 3600.0), None)).unwrap());
        assert!(subscription.refuse_overage().is_err());
        subscription.update(serde_json::from_value(window(Some(now + 3600.0), Some(false))).unwrap());
        assert_eq!((subscription.overage(), subscription.refuse_overage()), (Some(false), Ok(())));
        // A window that has reset is drawn on again.
        let over = told(window(Some(now - 1.0), Some(true)));
        assert_eq!((over.overage(), over.refuse_overage()), (Some(false), Ok(())));
        // Without an end, a request finds out every few minutes.
        let left = told(window(None, Some(true))).until_no_overage().unwrap();
        assert!(left <= OVERAGE_WITHOUT_END && left > OVERAGE_WITHOUT_END / 2, "{left:?}");
    }

    #[test]
    fn nobody_is_sent_away_for_longer_than_a_window_can_last() {
        for resets_at in [1.8e19, f64::MAX, 1e12] {
            let subscription = told(json!({"status": "rejected", "resetsAt": resets_at, "isUsingOverage": true}));
            let waits = [subscription.wait(), subscription.until_no_overage()];
            assert!(waits.iter().flatten().all(|wait| *wait <= MAX_WINDOW), "{waits:?}");
        }
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
