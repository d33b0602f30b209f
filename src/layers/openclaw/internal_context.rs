//! [`InternalContext`]: what OpenClaw tells the model for this once does not count when the conversation is recognised.

use std::task::{Context, Poll};

use tower::{Layer, Service};

use super::detect::is_internal_context;
use crate::ChatRequest;

/// Marks the internal context at a request's end as [`ephemeral`](crate::chat::Message::ephemeral).
#[derive(Clone, Copy, Debug)]
pub(super) struct InternalContextLayer;

impl<S> Layer<S> for InternalContextLayer {
    type Service = InternalContext<S>;

    fn layer(&self, inner: S) -> Self::Service {
        InternalContext { inner }
    }
}

#[derive(Clone, Debug)]
pub(super) struct InternalContext<S> {
    pub(super) inner: S,
}

impl<S: Service<ChatRequest>> Service<ChatRequest> for InternalContext<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: ChatRequest) -> Self::Future {
        for message in request.messages.iter_mut().rev().take_while(|message| is_internal_context(message)) {
            message.ephemeral = true;
        }
        self.inner.call(request)
    }
}
