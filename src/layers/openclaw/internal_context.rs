//! [`InternalContext`]: what OpenClaw tells the model once only is ignored when the conversation is recognised.

use std::task::{Context, Poll};

use tower::{Layer, Service};

use super::detect::is_internal_context;
use crate::ChatRequest;
use crate::chat::{Message, Role};

/// Marks internal context as [`ephemeral`](crate::chat::Message::ephemeral).
///
/// Over Chat Completions it is at a request's end, and not in the next request. Over the Responses API it keeps its place while
/// OpenClaw runs the calls of a turn, and is not in the next turn (2026.9.6).
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
        // The calls of this turn and their results may follow it.
        let of_calls = |message: &&mut Message| message.role == Role::Tool || !message.calls().is_empty();
        let last = request.messages.iter_mut().rev().skip_while(of_calls);
        for message in last.take_while(|message| is_internal_context(message)) {
            message.ephemeral = true;
        }
        self.inner.call(request)
    }
}
