//! Where kept responses can be put besides memory, so that they outlive the process.

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use tower::BoxError;

/// What the methods of a [`ResponseStore`] give.
pub type StoreFuture<T> = Pin<Box<dyn Future<Output = Result<T, BoxError>> + Send>>;

/// A place for kept responses that outlives the process: a file, a database. The reference server has one over SQLite.
///
/// Memory stays in front of it, within the bounds of [`ApiService::keep_responses`](crate::http::ApiService::keep_responses):
/// it is asked for what is not there. It belongs to one server at a time; a response that was in progress when the last
/// server ended has failed.
///
/// A response is saved before its client hears of its end. Where that fails, the answer is sent all the same, the log says
/// so at `warn`, and the response is kept in memory alone.
///
/// ```
/// use std::collections::HashMap;
/// use std::sync::{Arc, Mutex};
///
/// use tower_claude::http::{ResponseStore, StoreFuture, StoredResponse};
///
/// #[derive(Clone, Default)]
/// struct Shelf(Arc<Mutex<HashMap<String, StoredResponse>>>);
///
/// impl ResponseStore for Shelf {
///     fn salt(&self) -> [u8; 16] {
///         *b"made at random, "
///     }
///
///     fn load(&self, id: &str) -> StoreFuture<Option<StoredResponse>> {
///         let found = self.0.lock().unwrap().get(id).cloned();
///         Box::pin(async { Ok(found) })
///     }
///
///     fn save(&self, response: StoredResponse) -> StoreFuture<()> {
///         let old = self.0.lock().unwrap().insert(response.id.clone(), response);
///         Box::pin(async { Ok(drop(old)) })
///     }
///
///     fn remove(&self, id: &str) -> StoreFuture<()> {
///         if let Some(response) = self.0.lock().unwrap().get_mut(id) {
///             response.deleted = true;
///         }
///         Box::pin(async { Ok(()) })
///     }
/// }
/// ```
pub trait ResponseStore: Send + Sync + 'static {
    /// 16 random bytes that were made with the store and are kept in it. An API key is only stored as a hash with them.
    fn salt(&self) -> [u8; 16];

    /// The response with this [`id`](StoredResponse::id), deleted or not, unless it has expired and nothing that is left goes
    /// on from it.
    fn load(&self, id: &str) -> StoreFuture<Option<StoredResponse>>;

    /// Puts a response there, in place of one with the same id.
    fn save(&self, response: StoredResponse) -> StoreFuture<()>;

    /// Marks a response as deleted. It must still be given by [`load`](Self::load) while there is a response that goes on from
    /// it; else it can go.
    fn remove(&self, id: &str) -> StoreFuture<()>;
}

/// A response in the form in which it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredResponse {
    /// Its name: the `id` of the response without the `resp_`.
    pub id: String,
    /// The response that it goes on from, without which its conversation is not whole.
    pub previous: Option<String>,
    /// When it is no longer wanted, in seconds since 1970.
    pub expires_at: u64,
    /// Whether its client has deleted it.
    pub deleted: bool,
    /// Everything else, as JSON in a form of this crate's own that may change with its version: `format` says which it is.
    /// The client's words are in it, and the model's.
    pub json: Bytes,
}

impl StoredResponse {
    /// One that has not been deleted.
    pub fn new(id: impl Into<String>, previous: Option<String>, expires_at: u64, json: impl Into<Bytes>) -> Self {
        StoredResponse { id: id.into(), previous, expires_at, deleted: false, json: json.into() }
    }
}
