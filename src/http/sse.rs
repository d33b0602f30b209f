//! Writes server-sent events as they come, in any dialect: batches those that are ready, and sends keep-alives in silence.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use tokio::time::{Instant, Sleep};

use super::door::{Encoder, Saving};
use super::settle::Settled;

/// How much is gathered into one frame while events keep coming: large enough that a fast answer costs few writes,
/// small enough that a stream's memory stays small.
const FRAME_SIZE: usize = 32 * 1024;

/// The spare room of a buffer beyond the size of the last frame: about one chunk.
const SPARE: usize = 512;

/// An answer's events on their way into a body.
pub(crate) struct EventBytes {
    /// `None` when all has been written.
    events: Option<Settled>,
    encoder: Box<dyn Encoder>,
    /// Holds no memory while there is nothing to send.
    buffer: BytesMut,
    /// The capacity of the next buffer: the next frame is probably as large as the last one.
    room: usize,
    keep_alive: Duration,
    /// Work that must finish before the end of the answer is sent.
    saving: Option<Saving>,
    /// Runs while there is nothing to send. Its allocation is kept for the next time.
    silence: Option<Silence>,
}

struct Silence {
    timer: Pin<Box<Sleep>>,
    running: bool,
}

impl EventBytes {
    /// Sends the encoder's keep-alive after this much silence; never, if it is zero.
    pub(crate) fn new(events: Settled, mut encoder: Box<dyn Encoder>, keep_alive: Duration) -> Self {
        let mut buffer = BytesMut::with_capacity(SPARE);
        encoder.start(&mut buffer);
        EventBytes { events: Some(events), encoder, buffer, room: SPARE, keep_alive, saving: None, silence: None }
    }

    /// Whether nothing follows.
    pub(crate) fn is_end(&self) -> bool {
        self.events.is_none() && self.buffer.is_empty()
    }

    /// The next frame.
    pub(crate) fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if let Some(saving) = &mut self.saving {
            ready!(saving.as_mut().poll(cx));
            self.saving = None;
        }
        // Batches events that are ready, but never waits for more.
        while self.buffer.len() < FRAME_SIZE {
            let Some(events) = &mut self.events else { break };
            let failed = match Pin::new(events).poll_next(cx) {
                Poll::Ready(Some(Ok((choice, event)))) => {
                    if self.buffer.capacity() == 0 {
                        self.buffer.reserve(self.room);
                    }
                    self.encoder.event(choice, event, &mut self.buffer).err()
                }
                Poll::Ready(Some(Err(error))) => Some(error),
                Poll::Ready(None) => {
                    self.encoder.end(&mut self.buffer);
                    self.events = None;
                    break;
                }
                Poll::Pending if self.buffer.is_empty() => {
                    ready!(self.poll_silence(cx));
                    self.encoder.keep_alive(&mut self.buffer);
                    break;
                }
                Poll::Pending => break,
            };
            if let Some(error) = failed {
                // Quoted: the text may be what a CLI or an API wrote, and a line feed in it would begin a line of the log.
                tracing::warn!(kind = ?error.kind(), error = ?error.to_string(), "the answer failed after its head was sent");
                self.encoder.error(&error, &mut self.buffer);
                if let Some(events) = &self.events {
                    events.failed(&error);
                }
                self.events = None;
            }
            if let Some(mut saving) = self.encoder.saving()
                && saving.as_mut().poll(cx).is_pending()
            {
                self.saving = Some(saving);
                return Poll::Pending;
            }
        }
        if let Some(silence) = &mut self.silence {
            silence.running = false;
        }
        if self.buffer.is_empty() {
            return Poll::Ready(None);
        }
        self.room = self.buffer.len().min(FRAME_SIZE) + SPARE;
        Poll::Ready(Some(std::mem::take(&mut self.buffer).freeze()))
    }

    /// Ready when nothing has been sent for as long as the keep-alive allows.
    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.keep_alive.is_zero() {
            return Poll::Pending;
        }
        let silence = self
            .silence
            .get_or_insert_with(|| Silence { timer: Box::pin(tokio::time::sleep(self.keep_alive)), running: true });
        if !silence.running {
            silence.running = true;
            silence.timer.as_mut().reset(Instant::now() + self.keep_alive);
        }
        silence.timer.as_mut().poll(cx)
    }
}
