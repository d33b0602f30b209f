//! Which requests a layer applies to: all of them, or those that a caller's closure picks.

use std::fmt;
use std::sync::Arc;

use crate::ChatRequest;

/// A question asked of each request. The default says yes to all.
#[derive(Clone, Default)]
pub(super) struct Predicate(Option<Arc<Holds>>);

type Holds = dyn Fn(&ChatRequest) -> bool + Send + Sync;

impl Predicate {
    pub(super) fn new(holds: impl Fn(&ChatRequest) -> bool + Send + Sync + 'static) -> Self {
        Predicate(Some(Arc::new(holds)))
    }

    pub(super) fn holds(&self, request: &ChatRequest) -> bool {
        self.0.as_ref().is_none_or(|holds| holds(request))
    }
}

impl fmt::Debug for Predicate {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Predicate" } else { "Always" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_is_printed_with_whether_it_applies_to_every_request() {
        assert_eq!(format!("{:?}", Predicate::default()), "Always");
        assert_eq!(format!("{:?}", Predicate::new(|_| true)), "Predicate");
    }
}
