//! Turns in the background, which go on whether or not their clients stay.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::log::End;
use super::prepare::Places;
use super::record::Record;
use super::store::Store;
use crate::http::door::PendingAnswer;
use crate::{Error, ErrorKind};

/// How many there may be at once.
const MAX_TURNS: usize = 16;

/// How long each may take.
const TIMEOUT: Duration = Duration::from_secs(60 * 60);

/// Room for them, shared by all requests.
#[derive(Clone, Debug)]
pub(super) struct Background(Arc<Semaphore>);

impl Default for Background {
    fn default() -> Self {
        Background(Arc::new(Semaphore::new(MAX_TURNS)))
    }
}

impl Background {
    /// Room for one turn.
    ///
    /// # Errors
    /// 429 if there is none.
    pub(super) fn place(&self) -> Result<Place, Error> {
        let permit = Arc::clone(&self.0).try_acquire_owned().map_err(|_| {
            let message = format!(
                "{MAX_TURNS} responses are running in the background, and no more can. Try again when one of them has \
                 ended, or send the request without `background`."
            );
            Error::new(ErrorKind::QueueFull, message)
        })?;
        Ok(Place(permit))
    }
}

/// Room for one turn, until that has ended.
#[derive(Debug)]
pub(super) struct Place(OwnedSemaphorePermit);

impl Place {
    /// Runs the turn in a task, and records its events. `places` names the places of errors in the client's input.
    pub(super) fn run(self, answer: PendingAnswer, record: Arc<Record>, store: Arc<Store>, places: Places) {
        let ours = Arc::clone(&record);
        let task = tokio::spawn(async move {
            let _permit = self.0;
            // So that after a restart it can be found, as failed.
            store.save(&record).await;
            let run = async {
                let (_, _, mut events) = answer.await?;
                while let Some(event) = events.next().await {
                    record.push(&event?.1);
                }
                Ok(())
            };
            let ended = tokio::time::timeout(TIMEOUT, run).await.unwrap_or_else(|_| {
                let seconds = TIMEOUT.as_secs();
                let message = format!("No complete answer within the {seconds} s that one in the background may take.");
                Err(Error::new(ErrorKind::RequestTimeout, message))
            });
            if let Err(error) = ended {
                tracing::warn!(kind = ?error.kind(), error = ?error.to_string(), "a response in the background failed");
                record.end(End::Failed(places.name(error)));
            }
            store.save(&record).await;
        });
        ours.runs_as(task.abort_handle());
    }
}
