//! The kept answers: for `GET`, for `previous_response_id`, and for streams that are read again.
//!
//! They are kept in memory, each no longer than [`Limits::age`] and together no larger than [`Limits::bytes`]; the oldest go
//! first. Behind memory there may be a [`ResponseStore`] with all of them. Each belongs to the API key that it was made with.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use super::backing::{ResponseStore, StoredResponse};
use super::now;
use super::record::{Record, lock};
use super::saved;
use crate::{Error, ErrorKind};

/// How much is kept, and how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// About how many bytes of memory, over all answers.
    pub(crate) bytes: usize,
    pub(crate) age: Duration,
}

/// All kept answers.
pub(crate) struct Store {
    limits: Limits,
    /// The bytes of all answers that are still held, if only as part of a later one's conversation.
    bytes: Arc<AtomicUsize>,
    records: Mutex<Records>,
    backing: Option<Arc<dyn ResponseStore>>,
}

#[derive(Debug, Default)]
struct Records {
    by_answer: HashMap<Box<str>, Arc<Record>>,
    /// In the order in which they came, deleted ones included.
    order: VecDeque<(Instant, Box<str>)>,
}

impl Store {
    pub(crate) fn new(limits: Limits, backing: Option<Arc<dyn ResponseStore>>) -> Self {
        Store { limits, bytes: Arc::default(), records: Mutex::default(), backing }
    }

    pub(crate) fn limits(&self) -> Limits {
        self.limits
    }

    pub(crate) fn backing(&self) -> Option<&Arc<dyn ResponseStore>> {
        self.backing.as_ref()
    }

    /// Until when an answer made now is kept.
    pub(crate) fn until(&self) -> Instant {
        Instant::now() + self.limits.age
    }

    /// Keeps an answer, and drops those that are too old or no longer fit.
    pub(crate) fn keep(&self, record: Arc<Record>) {
        record.count(&self.bytes);
        let now = Instant::now();
        let mut gone = Vec::new();
        let mut records = lock(&self.records);
        records.order.push_back((record.until, record.echo.answer.clone()));
        records.by_answer.insert(record.echo.answer.clone(), record);
        while let Some((until, _)) = records.order.front()
            && (now > *until || self.bytes.load(Ordering::Relaxed) > self.limits.bytes)
            && records.order.len() > 1
        {
            if let Some((_, answer)) = records.order.pop_front() {
                // One by one, since each may free bytes.
                gone.extend(records.by_answer.remove(&answer));
                gone.clear();
            }
        }
    }

    /// The answer that ends so, if this caller has one of that name in memory and it is not too old.
    pub(crate) fn get(&self, answer: &str, caller: Option<u64>) -> Option<Arc<Record>> {
        self.held(answer).filter(|record| record.caller == caller)
    }

    fn held(&self, answer: &str) -> Option<Arc<Record>> {
        lock(&self.records).by_answer.get(answer).cloned().filter(|record| Instant::now() <= record.until)
    }

    /// Writes an answer to the store behind memory. A failure is logged; the answer is sent all the same.
    pub(crate) async fn save(&self, record: &Record) {
        let Some(backing) = &self.backing else { return };
        let answer = &record.echo.answer;
        let saved = match saved::to_json(record) {
            Ok(json) => {
                let left = record.until.saturating_duration_since(Instant::now());
                let previous = record.previous().map(|previous| previous.echo.answer.to_string());
                backing.save(StoredResponse::new(&**answer, previous, now() + left.as_secs(), json)).await
            }
            Err(error) => Err(error.into()),
        };
        if let Err(error) = saved {
            tracing::warn!(response = %answer, ?error, "a response could not be stored; it is kept in memory only");
        }
    }

    /// Forgets an answer. Conversations that continue it keep it as a part of theirs.
    pub(crate) async fn remove(&self, answer: &str) -> Result<(), Error> {
        if let Some(backing) = &self.backing {
            backing.remove(answer).await.map_err(unusable)?;
        }
        let record = lock(&self.records).by_answer.remove(answer);
        drop(record);
        Ok(())
    }

    /// Loads an answer into memory, with those that it continues, if it exists.
    pub(crate) async fn recall(&self, answer: &str) -> Result<(), Error> {
        let Some(backing) = &self.backing else { return Ok(()) };
        let mut missing = Vec::new();
        let mut next = Some(answer.to_owned());
        let mut previous = None;
        while let Some(id) = next.take() {
            previous = self.held(&id);
            if previous.is_none() {
                let Some(stored) = backing.load(&id).await.map_err(unusable)? else {
                    // Without the answers that it continues, it cannot be continued itself.
                    return Ok(());
                };
                next = stored.previous.clone();
                missing.push(stored);
            }
        }
        for stored in missing.into_iter().rev() {
            let left = Duration::from_secs(stored.expires_at.saturating_sub(now()));
            let until = Instant::now() + left.min(self.limits.age);
            let record = saved::from_json(&stored.id, &stored.json, previous.take(), until)
                .map_err(|error| unusable(format!("response {}: {error}", stored.id).into()))?;
            let record = Arc::new(record);
            if !stored.deleted && !left.is_zero() {
                self.keep(Arc::clone(&record));
            }
            previous = Some(record);
        }
        Ok(())
    }
}

fn unusable(error: tower::BoxError) -> Error {
    let message = "The store of responses cannot be used at the moment; this server's log says why. Try again, or send the \
                   whole conversation as `input`.";
    tracing::error!(error = ?error.to_string(), "the store of responses failed");
    Error::new(ErrorKind::Internal, message).with_source(error)
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Store { limits, bytes, records, backing } = self;
        f.debug_struct("Store")
            .field("limits", limits)
            .field("bytes", bytes)
            .field("records", records)
            .field("backing", &backing.is_some())
            .finish()
    }
}
