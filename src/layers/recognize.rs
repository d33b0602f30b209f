//! [`Recognize`]: keeps a conversation in its live process, whatever the layers inside change.

use std::task::{Context, Poll};

use tower::{Layer, Service};

use super::macros::{inner_service_accessors, opaque_future};
use crate::chat::{Events, Told, Translate, TranslateFuture};
use crate::{ChatEvent, ChatRequest, ChatResponse, Error};

/// Notes for each request what the client sent and what it was told, apart from what the layers make of both.
///
/// [`ClaudeCli`](crate::cli::ClaudeCli) continues a conversation in the process that holds it if the client sends the same
/// messages as before, and then the answer as it was told. Without this layer it can only compare what reaches it with what
/// it said itself, so every layer would have to produce the same result each time, and to undo on the way in what it did to
/// the answer. With this layer outside they need not: see [the contract](super).
///
/// [`ApiService`](crate::http::ApiService) puts it around its inner service; mount it yourself behind another edge. If there
/// are two, the outer one counts.
///
/// ```
/// use tower::{ServiceBuilder, ServiceExt};
/// use tower_claude::chat::{Message, Role};
/// use tower_claude::layers::RecognizeLayer;
/// use tower_claude::{ChatRequest, ChatResponse, Error, EventStream};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Error> {
/// let service = ServiceBuilder::new()
///     .layer(RecognizeLayer::new())
///     .map_request(|mut request: ChatRequest| {
///         request.messages.insert(0, Message::new(Role::System, format!("It is {:?}.", std::time::SystemTime::now())));
///         request
///     })
///     .service_fn(|request: ChatRequest| async move {
///         assert!(request.told.is_some() && request.messages[0].sent.is_none() && request.messages[1].sent.is_some());
///         Ok::<_, Error>(ChatResponse::new(request.model, EventStream::from_iter([])))
///     });
/// service.oneshot(ChatRequest::new("opus", [Message::new(Role::User, "hi")])).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct RecognizeLayer {}

impl RecognizeLayer {
    /// The layer; it has nothing to set.
    pub const fn new() -> Self {
        RecognizeLayer {}
    }
}

impl<S> Layer<S> for RecognizeLayer {
    type Service = Recognize<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Recognize { inner }
    }
}

/// The service that [`RecognizeLayer`] makes.
#[derive(Clone, Copy, Debug)]
pub struct Recognize<S> {
    inner: S,
}

impl<S> Recognize<S> {
    inner_service_accessors!();
}

impl<S> Service<ChatRequest> for Recognize<S>
where
    S: Service<ChatRequest, Response = ChatResponse, Error: Into<Error>>,
{
    type Response = ChatResponse;
    type Error = Error;
    type Future = RecognizeFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, mut request: ChatRequest) -> Self::Future {
        let told = request.told.is_none().then(|| Told::put_into(&mut request));
        RecognizeFuture::new(TranslateFuture::new(self.inner.call(request), told.map(|told| Record { told })))
    }
}

opaque_future! {
    /// The response future of [`Recognize`].
    pub struct RecognizeFuture<F>(TranslateFuture<F, Record>);
}

/// Records the events that pass.
#[derive(Debug)]
struct Record {
    told: Told,
}

impl Translate for Record {
    fn event(&mut self, event: ChatEvent, out: &mut Events) {
        self.told.record(&event);
        out.push(event);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use futures_util::{FutureExt, StreamExt};
    use tower::{ServiceExt, service_fn};

    use super::*;
    use crate::chat::recognition::ClientSide;
    use crate::chat::{FinishReason, Message, Role, Usage};
    use crate::layers::ChoicesLayer;
    use crate::{ErrorKind, EventStream};

    type Requests = Arc<Mutex<Vec<ChatRequest>>>;

    /// A model that keeps what it is asked, and answers with its number.
    fn model() -> (Requests, impl Service<ChatRequest, Response = ChatResponse, Error = Error, Future: Send> + Clone) {
        let requests = Requests::default();
        let asked = Arc::clone(&requests);
        let model = service_fn(move |request: ChatRequest| {
            let mut asked = asked.lock().unwrap();
            let text = ChatEvent::TextDelta(format!("answer {}", asked.len()));
            asked.push(request);
            let events = [text, ChatEvent::finished(FinishReason::Stop, Usage::default())];
            std::future::ready(Ok(ChatResponse::new("m", EventStream::from_iter(events))))
        });
        (requests, model)
    }

    fn request(texts: &[&str]) -> ChatRequest {
        let roles = [Role::User, Role::Assistant].into_iter().cycle();
        ChatRequest::new("m", roles.zip(texts).map(|(role, text)| Message::new(role, *text)))
    }

    #[test]
    fn the_inner_service_can_tell_what_the_client_was_told_once_the_client_has_the_finish() {
        let (requests, model) = model();
        let shout = tower::util::MapResponseLayer::new(|response: ChatResponse| {
            response.translate(|event, out: &mut Events| match event {
                ChatEvent::TextDelta(text) => out.push(ChatEvent::TextDelta(text.to_uppercase())),
                other => out.push(other),
            })
        });
        let service = (RecognizeLayer::new(), shout).layer(model);
        let response = service.clone().oneshot(request(&["hi"])).now_or_never().unwrap().unwrap();
        let mut events = response.events;
        while !matches!(events.next().now_or_never().unwrap(), Some(Ok(ChatEvent::Finished { .. }))) {}

        for text in ["ANSWER 0", "answer 0"] {
            drop(service.clone().oneshot(request(&["hi", text, "go on"])).now_or_never());
        }
        let sides: Vec<_> = requests.lock().unwrap().iter().map(|asked| ClientSide::of(asked).unwrap()).collect();
        assert_eq!(sides[0].continued_by(&sides[1]), Ok(()));
        assert!(sides[0].continued_by(&sides[2]).is_err());
    }

    #[test]
    fn each_choice_is_told_of_apart() {
        let (requests, model) = model();
        let mut asked = request(&["hi"]);
        asked.n = Some(2);
        let service = (ChoicesLayer::new(), RecognizeLayer::new()).layer(model);
        let response = service.clone().oneshot(asked).now_or_never().unwrap().unwrap();
        assert_eq!(response.events.count().now_or_never(), Some(8));

        drop(service.oneshot(request(&["hi", "answer 1", "go on"])).now_or_never());
        let sides: Vec<_> = requests.lock().unwrap().iter().map(|asked| ClientSide::of(asked).unwrap()).collect();
        assert!(sides[0].continued_by(&sides[2]).is_err());
        assert_eq!(sides[1].continued_by(&sides[2]), Ok(()));
    }

    #[test]
    fn of_two_the_outer_one_counts() {
        let (requests, model) = model();
        let service = (RecognizeLayer::new(), RecognizeLayer::new()).layer(model);
        let mut asked = request(&["hi"]);
        let told = Told::put_into(&mut asked);
        drop(service.oneshot(asked).now_or_never());
        assert_eq!(requests.lock().unwrap()[0].told, Some(told));
    }

    #[test]
    fn more_choices_than_allowed_are_refused() {
        let (requests, model) = model();
        for n in [0, 4] {
            let mut asked = request(&["hi"]);
            asked.n = Some(n);
            let answer = ChoicesLayer::new().max(3).layer(model.clone()).oneshot(asked).now_or_never().unwrap();
            assert_eq!(answer.unwrap_err().kind(), ErrorKind::InvalidRequest);
        }
        assert!(requests.lock().unwrap().is_empty());
    }
}
