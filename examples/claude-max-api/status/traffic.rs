//! The requests of the last hour, minute by minute: counts, outcomes, first-token times and tokens.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;
use tower_claude::ErrorKind;
use tower_claude::http::{Outcome, RequestReport};

use super::advice::advice;
use super::report::now;

/// How many minutes are kept.
const MINUTES: u64 = 60;

/// How many first-token times are kept per minute. The quantiles leave out any beyond them.
const SAMPLES: usize = 2000;

/// Counts requests as they end.
#[derive(Default)]
pub(crate) struct Traffic {
    /// Oldest first; minutes without a request are left out.
    minutes: Mutex<VecDeque<Minute>>,
}

#[derive(Default)]
struct Minute {
    /// The minute's number, counted from 1970.
    number: u64,
    counts: Counts,
    /// In milliseconds.
    first_tokens: Vec<u32>,
    errors: Vec<ErrorCount>,
}

#[derive(Clone, Copy, Default, Serialize)]
struct Counts {
    requests: u64,
    failed: u64,
    cancelled: u64,
    input_tokens: u64,
    cached_tokens: u64,
    output_tokens: u64,
}

#[derive(Clone, Copy)]
struct ErrorCount {
    kind: ErrorKind,
    count: u64,
    last_at: u64,
}

/// The last hour of all requests that asked a model.
#[derive(Serialize)]
pub(super) struct Hour {
    #[serde(flatten)]
    counts: Counts,
    /// The share of the prompt tokens that came from the cache, from 0 to 1.
    cache_share: Option<f64>,
    first_token_ms: Option<Quantiles>,
    /// Every minute, oldest first.
    minutes: Vec<MinuteReport>,
    /// The failures by code, latest first.
    errors: Vec<ErrorReport>,
}

#[derive(Serialize)]
struct MinuteReport {
    /// When it began, in seconds since 1970.
    at: u64,
    requests: u64,
    failed: u64,
    cancelled: u64,
    first_token_ms: Option<Quantiles>,
}

#[derive(Clone, Copy, Serialize)]
struct Quantiles {
    p50: u32,
    p95: u32,
}

#[derive(Serialize)]
struct ErrorReport {
    code: &'static str,
    status: u16,
    count: u64,
    last_at: u64,
    advice: &'static str,
}

impl Traffic {
    /// Counts a finished request, if it asked a model.
    pub(crate) fn finished(&self, report: &RequestReport) {
        if report.door.is_some() {
            self.count(report, now());
        }
    }

    fn count(&self, report: &RequestReport, now: u64) {
        let mut minutes = self.minutes.lock().unwrap_or_else(PoisonError::into_inner);
        let number = now / 60;
        if minutes.back().is_none_or(|last| last.number < number) {
            minutes.retain(|minute| minute.number + MINUTES > number);
            minutes.push_back(Minute { number, ..Minute::default() });
        }
        let Some(minute) = minutes.back_mut() else { return };
        let counts = &mut minute.counts;
        counts.requests += 1;
        counts.input_tokens += report.usage.prompt_tokens;
        counts.cached_tokens += report.usage.cached_tokens;
        counts.output_tokens += report.usage.completion_tokens;
        match report.outcome {
            Outcome::Cancelled => counts.cancelled += 1,
            Outcome::Failed(kind) => {
                counts.failed += 1;
                add(&mut minute.errors, ErrorCount { kind, count: 1, last_at: now });
            }
            _ => {}
        }
        if let Some(first_token) = report.first_token.filter(|_| minute.first_tokens.len() < SAMPLES) {
            minute.first_tokens.push(u32::try_from(first_token.as_millis()).unwrap_or(u32::MAX));
        }
    }

    pub(super) fn last_hour(&self, now: u64) -> Hour {
        let minutes = self.minutes.lock().unwrap_or_else(PoisonError::into_inner);
        let this = now / 60;
        let first = this.saturating_sub(MINUTES - 1);
        let (mut counts, mut first_tokens, mut errors) = (Counts::default(), Vec::new(), Vec::new());
        for minute in minutes.iter().filter(|minute| (first..=this).contains(&minute.number)) {
            counts.add(minute.counts);
            first_tokens.extend_from_slice(&minute.first_tokens);
            minute.errors.iter().for_each(|error| add(&mut errors, *error));
        }
        errors.sort_by_key(|error| std::cmp::Reverse(error.last_at));
        let reports = (first..=this).map(|number| {
            let minute = minutes.iter().find(|minute| minute.number == number);
            let counts = minute.map(|minute| minute.counts).unwrap_or_default();
            MinuteReport {
                at: number * 60,
                requests: counts.requests,
                failed: counts.failed,
                cancelled: counts.cancelled,
                first_token_ms: minute.and_then(|minute| quantiles(minute.first_tokens.clone())),
            }
        });
        Hour {
            counts,
            cache_share: (counts.input_tokens > 0).then(|| counts.cached_tokens as f64 / counts.input_tokens as f64),
            first_token_ms: quantiles(first_tokens),
            minutes: reports.collect(),
            errors: errors.into_iter().map(ErrorReport::of).collect(),
        }
    }
}

impl Counts {
    fn add(&mut self, other: Counts) {
        self.requests += other.requests;
        self.failed += other.failed;
        self.cancelled += other.cancelled;
        self.input_tokens += other.input_tokens;
        self.cached_tokens += other.cached_tokens;
        self.output_tokens += other.output_tokens;
    }
}

impl ErrorReport {
    fn of(error: ErrorCount) -> Self {
        ErrorReport {
            code: error.kind.as_str(),
            status: error.kind.status().as_u16(),
            count: error.count,
            last_at: error.last_at,
            advice: advice(error.kind),
        }
    }
}

fn add(errors: &mut Vec<ErrorCount>, error: ErrorCount) {
    match errors.iter_mut().find(|known| known.kind == error.kind) {
        None => errors.push(error),
        Some(known) => {
            known.count += error.count;
            known.last_at = known.last_at.max(error.last_at);
        }
    }
}

fn quantiles(mut times: Vec<u32>) -> Option<Quantiles> {
    times.sort_unstable();
    let at = |share: f64| times.get(((times.len() as f64 * share).ceil() as usize).saturating_sub(1)).copied();
    Some(Quantiles { p50: at(0.5)?, p95: at(0.95)? })
}
