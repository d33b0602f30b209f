//! The notes taken on a request while it is being answered.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::{HeaderMap, Request, StatusCode};
use tokio::time::Instant;

use super::conversation::Conversation;
use super::layer::Observer;
use super::report::{Outcome, RequestReport};
use crate::{ChatRequest, ChatResponse, ErrorKind, FinishReason, Usage};

/// Longer than any model's name. A client may send megabytes.
const MAX_MODEL_LENGTH: usize = 128;

/// A handle on a request's note. Without an observer, nothing is written down.
///
/// The note is reported when its last handle is dropped: when the answer's body is gone and its turn is over, however
/// either ended. So a background turn, which goes on without its client, is reported when it ends.
#[derive(Clone, Debug, Default)]
pub(crate) struct Note(Option<Arc<Inner>>);

struct Inner {
    began: Instant,
    report: Mutex<RequestReport>,
    observers: Mutex<Vec<Observer>>,
}

impl Note {
    /// The note on a request, for this observer too. It is new if nobody else observes the request.
    pub(super) fn begin<B>(request: &mut Request<B>, observer: Observer) -> Note {
        let note = Note::of(request);
        if let Some(inner) = &note.0 {
            lock(&inner.observers).push(observer);
            return note;
        }
        let report = RequestReport {
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
            ..RequestReport::default()
        };
        let inner = Inner { began: Instant::now(), report: Mutex::new(report), observers: Mutex::new(vec![observer]) };
        let note = Note(Some(Arc::new(inner)));
        request.extensions_mut().insert(note.clone());
        note
    }

    /// The note on a request.
    pub(crate) fn of<B>(request: &Request<B>) -> Note {
        request.extensions().get::<Note>().cloned().unwrap_or_default()
    }

    /// The request asks a model, through this door.
    pub(crate) fn door(&self, door: &'static str) {
        self.write(|report| report.door = Some(door));
    }

    /// The name of the key that it came with.
    pub(crate) fn key(&self, name: Option<Arc<str>>) {
        self.write(|report| report.key = name);
    }

    /// The request asks for this model.
    pub(crate) fn asks_for(&self, model: &str) {
        self.write(|report| {
            report.requested_model = Some(model[..model.floor_char_boundary(MAX_MODEL_LENGTH)].to_owned());
        });
    }

    /// The request continues or begins a conversation. Who asks must be in it.
    pub(crate) fn continues(&self, request: &ChatRequest) {
        self.write(|report| report.conversation = Some(Conversation::of(request)));
    }

    /// The answer goes by this id.
    pub(crate) fn answer_id(&self, id: &str) {
        self.write(|report| report.response_id = Some(id.to_owned()));
    }

    /// The model has begun to answer.
    pub(crate) fn answering(&self, response: &ChatResponse, streamed: bool) {
        self.write(|report| {
            report.model = Some(response.model.clone()).filter(|model| !model.is_empty());
            report.queued = response.queued;
            report.process = response.headers.get("x-claude-process").and_then(text);
            report.streamed = streamed;
        });
    }

    /// The first token has come.
    pub(crate) fn first_token(&self) {
        if let Some(inner) = &self.0 {
            lock(&inner.report).first_token.get_or_insert_with(|| inner.began.elapsed());
        }
    }

    /// The tokens that it has cost so far.
    pub(crate) fn usage(&self, usage: Usage) {
        self.write(|report| report.usage = usage);
    }

    /// The answer is complete: why its last choice ended, and why each did.
    pub(crate) fn finished(&self, last: FinishReason, each: impl Iterator<Item = FinishReason>) {
        self.write(|report| {
            report.outcome = Outcome::Finished(last);
            report.finish_reasons = each.collect();
        });
    }

    /// The answer has failed. Only the first failure counts.
    pub(crate) fn failed(&self, kind: ErrorKind) {
        self.write(|report| {
            if !matches!(report.outcome, Outcome::Failed(_)) {
                report.outcome = Outcome::Failed(kind);
            }
        });
    }

    /// The head of the answer is known.
    pub(super) fn responded(&self, status: StatusCode, headers: &HeaderMap) {
        self.write(|report| {
            report.status = Some(status);
            report.request_id = headers.get("x-request-id").and_then(text);
            if report.door.is_none() {
                report.outcome = Outcome::Responded;
            }
        });
    }

    /// Whether anything is written down.
    pub(crate) fn is_taken(&self) -> bool {
        self.0.is_some()
    }

    fn write(&self, write: impl FnOnce(&mut RequestReport)) {
        if let Some(inner) = &self.0 {
            write(&mut lock(&inner.report));
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let report = self.report.get_mut().unwrap_or_else(PoisonError::into_inner);
        report.total = self.began.elapsed();
        for observer in self.observers.get_mut().unwrap_or_else(PoisonError::into_inner) {
            observer(report);
        }
    }
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.debug_struct("Note").field("report", &self.report).finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn text(value: &http::HeaderValue) -> Option<String> {
    value.to_str().ok().map(str::to_owned)
}
