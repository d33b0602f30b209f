//! Exports a span for each request that asks a model to an OpenTelemetry collector, by the semantic conventions for
//! generative AI.
//!
//! A span is made from a request's report once the request is over. Reports hold no content, so spans cannot either. A
//! thread of OpenTelemetry's sends them in batches. If the collector is down or slow, spans are lost and answers are not
//! affected.

mod settings;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{Request, Response};
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{Span, SpanBuilder, SpanKind, Status, TracerProvider};
use opentelemetry::{Array, Context, KeyValue, Value};
use opentelemetry_http::hyper::HyperClient;
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use tokio::runtime::Handle;
use tower_claude::http::{Outcome, RequestReport};

use self::settings::Destination;
use crate::flags;

/// How long the collector may take to accept a batch.
const BATCH: Duration = Duration::from_secs(10);

/// How long the shutdown waits for the last spans.
const LAST_SPANS: Duration = Duration::from_secs(3);

/// Where spans go: `None` unless a collector is configured.
#[derive(Clone, Debug)]
pub(crate) struct Traces(Option<Exported>);

#[derive(Clone, Debug)]
struct Exported {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
}

impl Traces {
    /// Sends spans to the collector that the flags or their variables name.
    pub(crate) fn start(flags: &flags::Traces, runtime: &Handle) -> Result<Traces, String> {
        let Some(Destination { flag, named, url }) = settings::destination(flags)? else { return Ok(Traces(None)) };
        let collector = Collector {
            client: HyperClient::with_default_connector(BATCH, None),
            runtime: runtime.clone(),
            away: Arc::new(AtomicBool::new(false)),
        };
        let exporter = SpanExporter::builder()
            .with_http()
            .with_protocol(settings::protocol())
            .with_http_client(collector)
            .with_endpoint(url);
        let exporter = match settings::compression() {
            Some(compression) => exporter.with_compression(compression),
            None => exporter,
        };
        let exporter = exporter.build().map_err(|error| format!("{flag} {named:?} cannot be used: {error}"))?;
        let resource = settings::resource();
        let provider = SdkTracerProvider::builder().with_resource(resource).with_batch_exporter(exporter).build();
        let tracer = provider.tracer("tower-claude");
        Ok(Traces(Some(Exported { provider, tracer })))
    }

    /// Queues the span of a finished request for the next batch.
    pub(crate) fn finished(&self, report: &RequestReport) {
        let (Some(Exported { tracer, .. }), Some(door)) = (&self.0, report.door) else { return };
        let end = SystemTime::now();
        let name = report.requested_model.as_ref().map_or_else(|| "chat".to_owned(), |model| format!("chat {model}"));
        let mut span = SpanBuilder::from_name(name)
            .with_kind(SpanKind::Server)
            .with_start_time(end.checked_sub(report.total).unwrap_or(end))
            .with_attributes(attributes(report, door))
            .start_with_context(tracer, &parent(report));
        if let Outcome::Failed(_) = report.outcome {
            span.set_status(Status::error(report.outcome.as_str()));
        }
        span.end_with_timestamp(end);
    }

    /// Waits up to `LAST_SPANS` for the last spans to be sent. Blocks, and needs the runtime: call it while that runs, but
    /// not from inside it.
    pub(crate) fn flush(&self) {
        if let Some(Exported { provider, .. }) = &self.0
            && let Err(error) = provider.shutdown_with_timeout(LAST_SPANS)
        {
            tracing::warn!(%error, "the last traces were not exported");
        }
    }
}

/// The client's own span as the parent, if the request named one.
fn parent(report: &RequestReport) -> Context {
    let headers = report.trace_parent.iter().map(|parent| ("traceparent".to_owned(), parent.clone()));
    TraceContextPropagator::new().extract_with_context(&Context::new(), &headers.collect::<HashMap<_, _>>())
}

/// A span's attributes, by OpenTelemetry's names where it has them and our own where it has none.
fn attributes(report: &RequestReport, door: &'static str) -> Vec<KeyValue> {
    let usage = report.usage;
    let outcome = report.outcome.as_str();
    let reasons = &report.finish_reasons;
    let finish_reasons = || Value::Array(Array::String(reasons.iter().map(|reason| reason.as_str().into()).collect()));
    let tokens =
        |name, tokens: u64| (tokens > 0).then(|| KeyValue::new(name, i64::try_from(tokens).unwrap_or(i64::MAX)));
    let seconds = |name, time: Option<Duration>| time.map(|time| KeyValue::new(name, time.as_secs_f64()));
    let text = |name, text: Option<&str>| text.map(|text| KeyValue::new(name, text.to_owned()));
    let known = [
        KeyValue::new("gen_ai.operation.name", "chat"),
        KeyValue::new("gen_ai.provider.name", "anthropic"),
        // The name before version 1.37 of the conventions, which some backends still look for.
        KeyValue::new("gen_ai.system", "anthropic"),
        KeyValue::new("gen_ai.request.stream", report.streamed),
        KeyValue::new("http.request.method", report.method.as_str().to_owned()),
        KeyValue::new("tower_claude.door", door),
        KeyValue::new("tower_claude.outcome", outcome),
    ];
    let if_any = [
        text("gen_ai.request.model", report.requested_model.as_deref()),
        text("gen_ai.response.model", report.model.as_deref()),
        text("gen_ai.response.id", report.response_id.as_deref()),
        (!reasons.is_empty()).then(|| KeyValue::new("gen_ai.response.finish_reasons", finish_reasons())),
        tokens("gen_ai.usage.input_tokens", usage.prompt_tokens),
        tokens("gen_ai.usage.output_tokens", usage.completion_tokens),
        tokens("gen_ai.usage.cache_read.input_tokens", usage.cached_tokens),
        tokens("gen_ai.usage.cache_creation.input_tokens", usage.cache_write_tokens),
        tokens("gen_ai.usage.reasoning.output_tokens", usage.reasoning_tokens),
        seconds("gen_ai.response.time_to_first_chunk", report.first_token.filter(|_| report.streamed)),
        matches!(report.outcome, Outcome::Failed(_)).then(|| KeyValue::new("error.type", outcome)),
        report.status.map(|status| KeyValue::new("http.response.status_code", i64::from(status.as_u16()))),
        text("tower_claude.key", report.key.as_deref()),
        text("tower_claude.process", report.process.as_deref()),
        text("tower_claude.request_id", report.request_id.as_deref()),
        seconds("tower_claude.queue_wait", report.queued),
        seconds("tower_claude.time_to_first_token", report.first_token),
    ];
    known.into_iter().chain(if_any.into_iter().flatten()).collect()
}

/// The HTTP client for the collector. OpenTelemetry calls it from its own thread, but hyper needs a tokio runtime.
#[derive(Clone, Debug)]
struct Collector {
    client: HyperClient,
    runtime: Handle,
    /// Whether the last batch failed. A line is logged only when that changes.
    away: Arc<AtomicBool>,
}

#[async_trait::async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let client = self.client.clone();
        let sent = self
            .runtime
            .spawn(async move { client.send_bytes(request).await })
            .await
            .unwrap_or_else(|error| Err(error.into()));
        let trouble = match &sent {
            Ok(answer) if answer.status().is_success() => None,
            Ok(answer) => Some(format!("it answered {}", answer.status())),
            Err(error) => Some(error.to_string()),
        };
        let was_away = self.away.swap(trouble.is_some(), Ordering::Relaxed);
        match trouble {
            Some(trouble) if !was_away => {
                tracing::warn!("traces are lost: the collector: {trouble}")
            }
            None if was_away => tracing::info!("traces are exported again"),
            _ => {}
        }
        sent
    }
}
