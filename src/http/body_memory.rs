//! The memory that the bodies of all requests may take together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::response::RETRY_SOON;
use crate::{Error, ErrorKind};

/// So many bytes of each body are not counted: whoever fills the memory keeps nobody from asking a short question.
const FREE: usize = 64 * 1024;

/// Unless it is set otherwise.
const MOST: usize = 256 * 1024 * 1024;

/// A count of bytes, shared by all requests.
#[derive(Clone, Debug)]
pub(crate) struct BodyMemory {
    taken: Arc<AtomicUsize>,
    most: usize,
}

impl BodyMemory {
    /// Room for so many bytes.
    pub(crate) fn new(most: usize) -> Self {
        BodyMemory { taken: Arc::default(), most }
    }

    /// How many bytes are taken.
    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// How many there may be.
    pub(crate) fn most(&self) -> usize {
        self.most
    }

    /// The share of a body of which nothing has come.
    pub(crate) fn share(&self) -> Share {
        Share { memory: self.clone(), bytes: 0 }
    }
}

impl Default for BodyMemory {
    fn default() -> Self {
        BodyMemory::new(MOST)
    }
}

/// What one request takes of it, until this is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    memory: BodyMemory,
    bytes: usize,
}

impl Share {
    /// Says that so much of the body has come.
    ///
    /// # Errors
    /// 503 where there is no room for that.
    pub(crate) fn grow_to(&mut self, body: usize) -> Result<(), Error> {
        let more = body.saturating_sub(FREE).saturating_sub(self.bytes);
        let BodyMemory { taken, most } = &self.memory;
        let room = taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| {
            taken.checked_add(more).filter(|taken| *taken <= *most)
        });
        if more > 0 && room.is_err() {
            let message = format!(
                "This server reads as many large requests as it has memory for ({most} bytes). Try again in a moment."
            );
            return Err(Error::new(ErrorKind::BodyMemoryFull, message).with_retry_after(RETRY_SOON));
        }
        self.bytes += more;
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.memory.taken.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_body_takes_is_given_back_with_its_share() {
        let memory = BodyMemory::new(1000);
        let (mut first, mut second) = (memory.share(), memory.share());
        first.grow_to(FREE + 600).unwrap();
        first.grow_to(FREE + 700).unwrap();
        second.grow_to(FREE).unwrap();
        let full = second.grow_to(FREE + 301).unwrap_err();
        assert_eq!((full.kind(), full.retry_after()), (ErrorKind::BodyMemoryFull, Some(RETRY_SOON)));
        assert_eq!(memory.taken(), 700, "a refusal takes nothing");
        second.grow_to(FREE + 300).unwrap();
        assert_eq!(memory.taken(), 1000);
        memory.share().grow_to(FREE).unwrap();
        drop(first);
        second.grow_to(FREE + 1000).unwrap();
        drop(second);
        assert_eq!(memory.taken(), 0);
    }
}
