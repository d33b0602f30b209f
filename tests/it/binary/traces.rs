//! What an OpenTelemetry collector is told. The exporter is a feature of the server, so these run by
//! `cargo test --features otlp --test it binary::traces`.

use rustix::process::Signal;

use crate::support::claude_bin::stand_in;
use crate::support::server_process::{ServerProcess, example};

#[cfg(not(feature = "otlp"))]
#[tokio::test]
async fn a_build_that_exports_no_traces_says_so_and_serves() {
    let mut command = example("claude-max-api");
    command.args(["0", "--warm", "0", "--otlp-endpoint", "http://127.0.0.1:4318"]).env("CLAUDE_BIN", stand_in());
    let mut server = ServerProcess::start(command).await;
    server.say("hello").await;
    server.until_logged("needs a build with `--features otlp`").await;
    server.signal(Signal::TERM);
    server.ended().await;
}

#[cfg(feature = "otlp")]
mod exported {
    use axum::Router;
    use axum::routing::post;
    use bytes::Bytes;
    use http::HeaderMap;
    use http::Request;
    use http_body_util::{BodyExt, Full};
    use serde_json::{Value, json};
    use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

    use super::super::start::fails;
    use super::*;
    use crate::support::in_time;

    /// A collector: its address, and what it is sent.
    async fn collector() -> (String, UnboundedReceiver<(HeaderMap, Bytes)>) {
        let (batches, sent) = unbounded_channel();
        let receive = post(move |headers: HeaderMap, body: Bytes| async move {
            batches.send((headers, body)).unwrap();
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(axum::serve(listener, Router::new().route("/v1/traces", receive)).into_future());
        (url, sent)
    }

    async fn started(collector: &str, protocol: &str) -> ServerProcess {
        let mut command = example("claude-max-api");
        command.args(["0", "--warm", "0", "--otlp-endpoint", collector]).env("CLAUDE_BIN", stand_in());
        command.env("OTEL_EXPORTER_OTLP_PROTOCOL", protocol);
        ServerProcess::start(command).await
    }

    async fn ask(server: &ServerProcess, words: &str, parent: &str) {
        let body = json!({"model": "sonnet", "messages": [{"role": "user", "content": words}]}).to_string();
        let request = Request::post("/").header("content-type", "application/json").header("traceparent", parent);
        let answer = server.send("/v1/chat/completions", request.body(Full::from(body)).unwrap()).await;
        in_time("the answer", answer.into_body().collect()).await.unwrap();
    }

    fn attribute<'a>(span: &'a Value, name: &str) -> &'a Value {
        let attributes = span["attributes"].as_array().unwrap();
        let found = attributes.iter().find(|attribute| attribute["key"] == name);
        found.map_or(&Value::Null, |attribute| &attribute["value"])
    }

    #[tokio::test]
    async fn a_request_is_a_span_within_the_clients_trace_without_anything_that_was_said() {
        let (url, mut sent) = collector().await;
        let server = started(&url, "http/json").await;
        let (trace, parent) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
        ask(&server, "a secret", &format!("00-{trace}-{parent}-01")).await;
        ask(&server, "[[fail 529]] secret", "not a parent").await;
        server.get("/health").await;
        // The last batch is sent before the server ends.
        server.signal(Signal::TERM);
        server.ended().await;
        let (_, batch) = in_time("a batch", sent.recv()).await.unwrap();
        let text = std::str::from_utf8(&batch).unwrap();
        assert!(!text.contains("secret"), "{text}");

        let batch: Value = serde_json::from_str(text).unwrap();
        let resource = &batch["resourceSpans"][0];
        assert!(resource["resource"].to_string().contains("claude-max-api"), "{resource}");
        let spans = resource["scopeSpans"][0]["spans"].as_array().unwrap();
        let [answered, failed] = &spans[..] else { panic!("{spans:?}") };
        assert_eq!((&answered["traceId"], &answered["parentSpanId"]), (&json!(trace), &json!(parent)));
        let model = attribute(answered, "gen_ai.response.model")["stringValue"].as_str().unwrap();
        assert_eq!(answered["name"], format!("chat {model}"));
        assert_eq!(attribute(answered, "gen_ai.operation.name")["stringValue"], "chat");
        assert_eq!(attribute(answered, "gen_ai.provider.name")["stringValue"], "anthropic");
        let reasons = attribute(answered, "gen_ai.response.finish_reasons");
        assert_eq!(reasons["arrayValue"]["values"][0]["stringValue"], "stop");
        assert_ne!(attribute(answered, "gen_ai.usage.input_tokens"), &Value::Null);
        assert_ne!(attribute(answered, "gen_ai.usage.output_tokens"), &Value::Null);
        assert_eq!(attribute(answered, "error.type"), &Value::Null);

        assert_ne!(failed["traceId"], trace);
        assert_eq!(attribute(failed, "error.type")["stringValue"], "overloaded");
        assert_eq!(failed["status"]["message"], "overloaded");
    }

    #[tokio::test]
    async fn spans_are_protobuf_unless_json_is_asked_for() {
        let (url, mut sent) = collector().await;
        let server = started(&url, "").await;
        server.say("a secret").await;
        server.signal(Signal::TERM);
        server.ended().await;
        let (headers, batch) = in_time("a batch", sent.recv()).await.unwrap();
        assert_eq!(headers["content-type"], "application/x-protobuf");
        let text = String::from_utf8_lossy(&batch);
        assert!(text.contains("gen_ai.usage.input_tokens") && !text.contains("secret"), "{text}");
    }

    #[tokio::test]
    async fn a_collector_that_is_away_costs_spans_and_a_line_of_the_log_and_no_answers() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let mut server = started(&url, "").await;
        assert_eq!(server.say("hello").await.status, 200);
        server.signal(Signal::TERM);
        server.until_logged("traces are lost").await;
        server.ended().await;
    }

    #[tokio::test]
    async fn a_collector_that_cannot_be_reached_this_way_is_refused() {
        for url in ["localhost:4318", "https://collector.example", "grpc://127.0.0.1:4317"] {
            let (code, stderr) = fails(example("claude-max-api").args(["0", "--otlp-endpoint", url])).await;
            assert_eq!(code, Some(2), "{url}: {stderr}");
            assert!(stderr.contains("http://HOST:4318"), "{url}: {stderr}");
        }
    }
}
