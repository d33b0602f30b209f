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
            // A test that has what it wanted does not wait for the rest.
            let _ = batches.send((headers, body));
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let routes = Router::new().route("/v1/traces", receive.clone()).route("/elsewhere", receive);
        tokio::spawn(axum::serve(listener, routes).into_future());
        (url, sent)
    }

    /// A server that is told by these variables alone.
    async fn started(variables: &[(&str, &str)]) -> ServerProcess {
        let mut command = example("claude-max-api");
        command.args(["0", "--warm", "0"]).env("CLAUDE_BIN", stand_in()).envs(variables.iter().copied());
        ServerProcess::start(command).await
    }

    /// Ends the server, which sends its last spans before, and returns what was sent first.
    async fn batch(server: ServerProcess, sent: &mut UnboundedReceiver<(HeaderMap, Bytes)>) -> (HeaderMap, Bytes) {
        server.signal(Signal::TERM);
        server.ended().await;
        in_time("a batch", sent.recv()).await.unwrap()
    }

    /// The spans of a batch in JSON, and whose they are.
    fn spans(batch: &[u8]) -> (Value, Vec<Value>) {
        let batch: Value = serde_json::from_slice(batch).unwrap();
        let of = &batch["resourceSpans"][0];
        (of["resource"].clone(), of["scopeSpans"][0]["spans"].as_array().unwrap().clone())
    }

    async fn ask(server: &ServerProcess, body: Value, parent: &str) -> Value {
        let request = Request::post("/").header("content-type", "application/json").header("traceparent", parent);
        let answer = server.send("/v1/chat/completions", request.body(Full::from(body.to_string())).unwrap()).await;
        let answer = in_time("the answer", answer.into_body().collect()).await.unwrap().to_bytes();
        serde_json::from_slice(&answer).unwrap_or_default()
    }

    fn says(words: &str) -> Value {
        json!({"model": "sonnet", "messages": [{"role": "user", "content": words}]})
    }

    fn attribute<'a>(of: &'a Value, name: &str) -> &'a Value {
        let attributes = of["attributes"].as_array().unwrap();
        let found = attributes.iter().find(|attribute| attribute["key"] == name);
        found.map_or(&Value::Null, |attribute| &attribute["value"])
    }

    #[tokio::test]
    async fn a_request_is_a_span_within_the_clients_trace_without_anything_that_was_said() {
        let (url, mut sent) = collector().await;
        let mut command = example("claude-max-api");
        command.args(["0", "--warm", "0", "--otlp-endpoint", &url]).env("CLAUDE_BIN", stand_in());
        command.env("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json");
        let server = ServerProcess::start(command).await;
        let (trace, parent) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
        let answer = ask(&server, says("a secret"), &format!("00-{trace}-{parent}-01")).await;
        ask(&server, says("[[fail 529]] secret"), "not a parent").await;
        server.get("/health").await;
        let (_, sent) = batch(server, &mut sent).await;
        let text = std::str::from_utf8(&sent).unwrap();
        assert!(!text.contains("secret"), "{text}");
        let (resource, spans) = spans(&sent);
        assert_eq!(attribute(&resource, "service.name")["stringValue"], "claude-max-api");
        let [answered, failed] = &spans[..] else { panic!("{spans:?}") };
        assert_eq!((&answered["traceId"], &answered["parentSpanId"]), (&json!(trace), &json!(parent)));
        assert_eq!(answered["name"], "chat sonnet");
        for (name, value) in [
            ("gen_ai.operation.name", "chat"),
            ("gen_ai.provider.name", "anthropic"),
            ("gen_ai.request.model", "sonnet"),
            ("gen_ai.response.model", answer["model"].as_str().unwrap()),
            ("gen_ai.response.id", answer["id"].as_str().unwrap()),
        ] {
            assert_eq!(attribute(answered, name)["stringValue"], value, "{name}");
        }
        assert_eq!(attribute(answered, "gen_ai.request.stream")["boolValue"], false);
        let reasons = attribute(answered, "gen_ai.response.finish_reasons");
        assert_eq!(reasons["arrayValue"]["values"][0]["stringValue"], "stop");
        assert_ne!(attribute(answered, "gen_ai.usage.input_tokens"), &Value::Null);
        assert_ne!(attribute(answered, "gen_ai.usage.output_tokens"), &Value::Null);
        assert_eq!(attribute(answered, "gen_ai.response.time_to_first_chunk"), &Value::Null);
        assert_eq!(attribute(answered, "error.type"), &Value::Null);

        assert_ne!(failed["traceId"], trace);
        assert_eq!(attribute(failed, "gen_ai.request.model")["stringValue"], "sonnet");
        assert_eq!(attribute(failed, "error.type")["stringValue"], "overloaded");
        assert_eq!(failed["status"]["message"], "overloaded");
    }

    #[tokio::test]
    async fn opentelemetrys_variables_say_where_spans_go_and_whose_they_are() {
        let (url, mut sent) = collector().await;
        let server = started(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1"),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &format!("{url}/elsewhere")),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json"),
            ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "x-tenant=ada"),
            ("OTEL_RESOURCE_ATTRIBUTES", "service.name=one,deployment.environment=test"),
        ])
        .await;
        let mut streamed = says("hello");
        streamed["stream"] = json!(true);
        ask(&server, streamed, "").await;
        let (headers, batch_in_json) = batch(server, &mut sent).await;
        assert_eq!(
            (&headers["x-tenant"], &headers["content-type"]),
            (&"ada".parse().unwrap(), &"application/json".parse().unwrap())
        );
        let (resource, spans) = spans(&batch_in_json);
        assert_eq!(attribute(&resource, "service.name")["stringValue"], "one");
        assert_eq!(attribute(&resource, "deployment.environment")["stringValue"], "test");
        assert_ne!(attribute(&spans[0], "gen_ai.response.time_to_first_chunk"), &Value::Null);

        let named = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &*url),
            ("OTEL_SERVICE_NAME", "mine"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ];
        let mut server = started(&named).await;
        server.until_logged("traces go as http/protobuf").await;
        server.say("hello").await;
        let (headers, batch) = batch(server, &mut sent).await;
        assert_eq!(headers["content-type"], "application/x-protobuf");
        assert!(String::from_utf8_lossy(&batch).contains("mine"));
    }

    #[tokio::test]
    async fn batches_are_compressed_where_that_is_asked_for() {
        for (settings, encoding, is_warned) in [
            (vec![("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")], Some("gzip"), false),
            (vec![("OTEL_EXPORTER_OTLP_COMPRESSION", "none")], None, false),
            (
                vec![("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"), ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "none")],
                None,
                false,
            ),
            (vec![("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "zstd")], Some("gzip"), true),
        ] {
            let (url, mut sent) = collector().await;
            let mut server = started(&[&[("OTEL_EXPORTER_OTLP_ENDPOINT", &*url)], &settings[..]].concat()).await;
            server.say("hello").await;
            if is_warned {
                server.until_logged(r#"TRACES_COMPRESSION is "zstd""#).await;
            }
            let (headers, batch) = batch(server, &mut sent).await;
            assert_eq!(
                headers.get("content-encoding").map(|encoding| encoding.to_str().unwrap()),
                encoding,
                "{settings:?}"
            );
            let is_gzip = batch.starts_with(b"\x1f\x8b");
            assert_eq!(is_gzip, encoding.is_some(), "{settings:?}: {batch:?}");
        }
    }

    #[tokio::test]
    async fn each_choice_has_its_finish_reason() {
        let (url, mut sent) = collector().await;
        let server =
            started(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &*url), ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")]).await;
        let mut two = says("hello");
        two["n"] = json!(2);
        let answer = ask(&server, two, "").await;
        assert_eq!(answer["choices"].as_array().map(Vec::len), Some(2), "{answer}");
        let (_, batch) = batch(server, &mut sent).await;
        let (_, spans) = spans(&batch);
        let reasons = &attribute(&spans[0], "gen_ai.response.finish_reasons")["arrayValue"]["values"];
        assert_eq!(reasons, &json!([{"stringValue": "stop"}, {"stringValue": "stop"}]));
    }

    #[tokio::test]
    async fn opentelemetrys_variables_turn_traces_off() {
        for (name, off) in [("OTEL_SDK_DISABLED", "true"), ("OTEL_TRACES_EXPORTER", "none")] {
            let (url, mut sent) = collector().await;
            let mut server = started(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &url), (name, off)]).await;
            server.until_logged(&format!("no traces are exported: {name} is {off}")).await;
            server.say("hello").await;
            server.signal(Signal::TERM);
            server.ended().await;
            assert!(sent.try_recv().is_err(), "{name}");
        }
    }

    #[tokio::test]
    async fn spans_are_protobuf_unless_json_is_asked_for() {
        let (url, mut sent) = collector().await;
        let server = started(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &url)]).await;
        server.say("a secret").await;
        let (headers, batch) = batch(server, &mut sent).await;
        assert_eq!(headers["content-type"], "application/x-protobuf");
        let text = String::from_utf8_lossy(&batch);
        assert!(text.contains("gen_ai.usage.input_tokens") && !text.contains("secret"), "{text}");
    }

    #[tokio::test]
    async fn a_collector_that_is_away_costs_spans_and_a_line_of_the_log_and_no_answers() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let mut server = started(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &url)]).await;
        assert_eq!(server.say("hello").await.status, 200);
        server.signal(Signal::TERM);
        server.until_logged("traces are lost").await;
        server.ended().await;
    }

    #[tokio::test]
    async fn a_collector_that_cannot_be_reached_this_way_is_refused() {
        for flag in ["--otlp-endpoint", "--otlp-traces-endpoint"] {
            for url in ["localhost:4318", "https://collector.example", "grpc://127.0.0.1:4317"] {
                let (code, stderr) = fails(example("claude-max-api").args(["0", flag, url])).await;
                assert_eq!(code, Some(2), "{url}: {stderr}");
                assert!(stderr.contains("http://HOST:4318") && stderr.contains(flag), "{url}: {stderr}");
            }
        }
    }
}
