//! Tower's own layers, between any two of ours: each has an error type of its own, and all of them fit.

use std::time::Duration;

use futures_util::StreamExt;
use http_body_util::Full;
use tower::{BoxError, Layer, Service, ServiceBuilder, ServiceExt, service_fn};
use tower_claude::chat::{Events, Message, Role};
use tower_claude::http::{ApiService, GuardLayer, HttpStack};
use tower_claude::layers::{
    ChoicesLayer, FlattenPartsLayer, ModelAliasLayer, OpenClawLayer, RecognizeLayer, Sections, SeparateBlocksLayer,
    ShowToolsLayer, StopLayer, StripSectionsLayer, ToolNamesLayer,
};
use tower_claude::{ChatEvent, ChatRequest, ChatResponse, Error, ErrorKind, EventStream, FinishReason, Usage};

const LIMIT: Duration = Duration::from_secs(30);

fn answer(model: String) -> ChatResponse {
    let finished = ChatEvent::finished(FinishReason::Stop, Usage::default());
    ChatResponse::new(model, EventStream::from_iter([ChatEvent::TextDelta("hi".into()), finished]))
}

/// An inner service that waits for an hour where the model is called `slow`, and else says "hi".
async fn model(request: ChatRequest) -> Result<ChatResponse, Error> {
    if request.model == "slow" {
        tokio::time::sleep(Duration::from_secs(3600)).await;
    }
    Ok(answer(request.model))
}

fn request(model: &str) -> ChatRequest {
    ChatRequest::new(model, [Message::new(Role::User, "hello")])
}

/// Tower's layers as one, each as anyone would mount it: refuses the model `filtered`, and waits for ten seconds.
macro_rules! towers {
    ($inner:expr) => {
        ServiceBuilder::new()
            .map_request(|request: ChatRequest| request)
            .map_response(|response: ChatResponse| response.translate(|event, out: &mut Events| out.push(event)))
            .load_shed()
            .buffer(4)
            .filter(|request: ChatRequest| {
                let refusal = Error::new(ErrorKind::Forbidden, "Not that one.");
                if request.model == "filtered" { Err(BoxError::from(refusal)) } else { Ok(request) }
            })
            .timeout(Duration::from_secs(10))
            .service($inner)
    };
}

/// What becomes of an answer, of a refusal within, and of a timeout.
async fn behaves<S>(service: S)
where
    S: Service<ChatRequest, Response = ChatResponse, Error = Error> + Clone,
{
    let ask = |model| tokio::time::timeout(LIMIT, service.clone().oneshot(request(model)));
    let events: Vec<_> = ask("m").await.unwrap().unwrap().events.collect().await;
    assert_eq!(events[0], Ok(ChatEvent::TextDelta("hi".into())));
    assert_eq!(ask("filtered").await.unwrap().unwrap_err().kind(), ErrorKind::Forbidden);
    let late = ask("slow").await.unwrap().unwrap_err();
    assert_eq!(late.kind(), ErrorKind::RequestTimeout);
    assert!(std::error::Error::source(&late).is_some(), "{late:?}");
}

macro_rules! between {
    ($($name:ident: $layer:expr;)*) => {
        $(
            #[tokio::test(start_paused = true)]
            async fn $name() {
                let models = ModelAliasLayer::claude().alias("slow", "slow").alias("filtered", "filtered");
                let inside = models.clone().layer(towers!($layer.layer(service_fn(model))));
                behaves($layer.layer(inside)).await;
            }
        )*
    };
}

between! {
    tower_between_two_choices: ChoicesLayer::new();
    tower_between_two_recognize: RecognizeLayer::new();
    tower_between_two_stop: StopLayer::new();
    tower_between_two_tool_names: ToolNamesLayer::new([("exec", "Bash")]);
    tower_between_two_show_tools: ShowToolsLayer::new([("exec", "Bash")]);
    tower_between_two_separate_blocks: SeparateBlocksLayer::new();
    tower_between_two_openclaw: OpenClawLayer::new().models(ModelAliasLayer::claude().alias("slow", "slow").alias("filtered", "filtered"));
}

/// The layers that leave the answer alone leave the error alone as well: it is the inner service's own.
#[tokio::test(start_paused = true)]
async fn tower_around_a_layer_that_only_sees_requests() {
    let strip = StripSectionsLayer::new(Sections::named(["Gone"]));
    let flatten = FlattenPartsLayer::new();
    let service = RecognizeLayer::new().layer(strip.layer(towers!(flatten.layer(service_fn(model)))));
    behaves(service).await;
}

/// The edge takes any error as well: tower's layers may be the outermost, right under it.
#[tokio::test(start_paused = true)]
async fn tower_between_the_edge_and_the_inner_service() {
    let api = HttpStack::new(ApiService::new(towers!(service_fn(model))), GuardLayer::new());
    for (model, status) in [("m", 200), ("filtered", 403), ("slow", 504)] {
        let body = format!(r#"{{"model": "{model}", "messages": [{{"role": "user", "content": "hello"}}]}}"#);
        let request = http::Request::post("/v1/chat/completions").body(Full::<bytes::Bytes>::from(body)).unwrap();
        let response = tokio::time::timeout(LIMIT, api.clone().oneshot(request)).await.unwrap().unwrap();
        assert_eq!(response.status(), status, "{model}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_busy_is_a_full_queue() {
    let busy = ServiceBuilder::new().layer(RecognizeLayer::new()).load_shed().concurrency_limit(1).service_fn(model);
    let mut first = busy.clone();
    let slow = first.ready().await.unwrap().call(request("slow"));
    let error = busy.oneshot(request("m")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::QueueFull);
    drop(slow);
}
