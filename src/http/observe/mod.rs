//! Tells an observer how each request went: once, when all of its answer has been sent or its client is gone.
//!
//! | part | its idea |
//! |---|---|
//! | [`ObserveLayer`] | tells an observer about every request, or logs a line for each |
//! | [`RequestReport`] | what the observer is told: who asked, through which door, which model answered, tokens and times |
//! | [`MetricsLayer`] | an observer that counts, under OpenTelemetry's names |
//!
//! The layer goes around [`ApiService`](super::ApiService), at any distance: it leaves a note in the request's
//! extensions, on which `ApiService` writes what it learns. Several of them share one note.

mod access_log;
mod conversation;
mod layer;
#[cfg(feature = "metrics")]
mod metrics;
mod note;
mod report;

pub use self::layer::{ObserveLayer, Observed};
#[cfg(feature = "metrics")]
pub use self::metrics::MetricsLayer;
pub(crate) use self::note::Note;
pub use self::report::{Outcome, RequestReport};
