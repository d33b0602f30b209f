//! [`MetricsLayer`]: counts and times requests, through the `metrics` facade.

use std::sync::Arc;

use metrics::{Label, SharedString, Unit, counter, describe_counter, describe_histogram, histogram};
use tower::Layer;

use super::layer::{ObserveLayer, Observed};
use super::report::{Outcome, RequestReport};

/// `gen_ai.server.request.duration`
const REQUEST_DURATION: &str = "gen_ai_server_request_duration_seconds";

/// `gen_ai.server.time_to_first_token`
const TIME_TO_FIRST_TOKEN: &str = "gen_ai_server_time_to_first_token_seconds";

/// `gen_ai.client.token.usage`
const TOKEN_USAGE: &str = "gen_ai_client_token_usage";

/// How long requests waited for a process.
const QUEUE_WAIT: &str = "tower_claude_queue_wait_seconds";

const CACHE_READ: &str = "tower_claude_cache_read_input_tokens_total";
const CACHE_WRITE: &str = "tower_claude_cache_write_input_tokens_total";

/// Records metrics of every request that asks a model, through the [`metrics`](https://docs.rs/metrics) facade: install a
/// recorder of your choice, such as `metrics-exporter-prometheus`. [`ObserveLayer`] says where to put the layer in a stack.
///
/// The names are those of OpenTelemetry's conventions for generative AI in Prometheus' form: dots become underscores, and
/// the unit of seconds is a suffix.
///
/// | metric | kind | what |
/// |---|---|---|
/// | `gen_ai_server_request_duration_seconds` | histogram | from a request's arrival until all of its answer was sent |
/// | `gen_ai_server_time_to_first_token_seconds` | histogram | from its arrival until the first text, reasoning or call |
/// | `gen_ai_client_token_usage` | histogram | tokens of a request, by `gen_ai_token_type`: `input` or `output` |
/// | `tower_claude_cache_read_input_tokens_total` | counter | input tokens that were read from the prompt cache |
/// | `tower_claude_cache_write_input_tokens_total` | counter | input tokens that were written to it |
/// | `tower_claude_queue_wait_seconds` | histogram | how long requests waited for a process |
///
/// All have the labels `gen_ai_response_model` (as the API names the model that answered; `none` if none did),
/// `door` (`chat_completions`, `responses` or `messages`) and `key` (the name of the key that was sent, or `none`); those of
/// OpenTelemetry's also `gen_ai_operation_name="chat"`, `gen_ai_provider_name="anthropic"` and
/// `outcome`, which is a finish reason, an error's code, or `cancelled` ([`Outcome::as_str`](super::Outcome::as_str)).
/// A failed request's duration has that code as `error_type` as well. Clients cannot choose a label's value freely, so the
/// number of series is bounded. Requests that ask no model are not counted.
///
/// ```
/// use metrics_exporter_prometheus::PrometheusBuilder;
/// use tower::{Layer, ServiceExt};
/// use tower_claude::http::{ApiService, GuardLayer, HttpStack, MetricsLayer};
/// # use tower_claude::{ChatEvent, ChatRequest, ChatResponse, Error, EventStream, FinishReason, Usage};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut recorder = PrometheusBuilder::new();
/// for (name, buckets) in MetricsLayer::BUCKETS {
///     let name = metrics_exporter_prometheus::Matcher::Full((*name).to_owned());
///     recorder = recorder.set_buckets_for_metric(name, buckets)?;
/// }
/// let prometheus = recorder.install_recorder()?;
/// MetricsLayer::describe();
///
/// # let inner = tower::service_fn(|_: ChatRequest| async {
/// #     let events = [ChatEvent::TextDelta("hi".into()), ChatEvent::finished(FinishReason::Stop, Usage::new(7, 1))];
/// #     Ok::<_, Error>(ChatResponse::new("parrot", EventStream::from_iter(events)))
/// # });
/// let service = MetricsLayer::new().layer(HttpStack::new(ApiService::new(inner), GuardLayer::new()));
/// # let json = r#"{"model": "sonnet", "messages": [{"role": "user", "content": "hello"}]}"#;
/// # let request = http::Request::post("/v1/chat/completions").body(http_body_util::Full::<bytes::Bytes>::from(json))?;
/// # drop(service.oneshot(request).await?);
/// assert!(prometheus.render().contains("gen_ai_client_token_usage_count"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct MetricsLayer {
    observe: ObserveLayer,
}

impl MetricsLayer {
    /// The histograms' buckets, for the recorder: those that OpenTelemetry advises, and longer durations, since an answer
    /// may take [15 minutes](crate::cli::ClaudeCliBuilder::request_timeout).
    pub const BUCKETS: &[(&str, &[f64])] = &[
        (
            REQUEST_DURATION,
            &[
                0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92, 163.84, 327.68,
                655.36, 1310.72,
            ],
        ),
        (
            TIME_TO_FIRST_TOKEN,
            &[0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 30.0, 120.0],
        ),
        (
            TOKEN_USAGE,
            &[
                1.0,
                4.0,
                16.0,
                64.0,
                256.0,
                1024.0,
                4096.0,
                16384.0,
                65536.0,
                262_144.0,
                1_048_576.0,
                4_194_304.0,
                16_777_216.0,
                67_108_864.0,
            ],
        ),
        (QUEUE_WAIT, &[0.001, 0.01, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0]),
    ];

    /// Tells the recorder what the metrics are. Call it once, when the recorder is installed.
    pub fn describe() {
        describe_histogram!(
            REQUEST_DURATION,
            Unit::Seconds,
            "From a request's arrival until all of its answer had gone."
        );
        describe_histogram!(
            TIME_TO_FIRST_TOKEN,
            Unit::Seconds,
            "From a request's arrival until the first text, reasoning or call of its answer."
        );
        describe_histogram!(TOKEN_USAGE, "Input and output tokens of a request.");
        describe_counter!(CACHE_READ, "Input tokens that were read from the prompt cache.");
        describe_counter!(CACHE_WRITE, "Input tokens that were written to the prompt cache.");
        describe_histogram!(QUEUE_WAIT, Unit::Seconds, "How long requests waited for a Claude Code process.");
    }

    /// The layer. It has no settings, and records with whatever recorder is installed when a request is over.
    pub fn new() -> Self {
        MetricsLayer { observe: ObserveLayer::new(record) }
    }
}

impl Default for MetricsLayer {
    fn default() -> Self {
        MetricsLayer::new()
    }
}

impl<S> Layer<S> for MetricsLayer {
    type Service = Observed<S>;

    fn layer(&self, inner: S) -> Observed<S> {
        self.observe.layer(inner)
    }
}

fn record(report: &RequestReport) {
    let Some(door) = report.door else { return };
    let model = report.model.as_deref().map_or(SharedString::const_str("none"), |model| Arc::<str>::from(model).into());
    let key = report.key.clone().map_or(SharedString::const_str("none"), SharedString::from);
    // Shared texts, since each metric has its own copy of them.
    let own = [Label::new("gen_ai_response_model", model), Label::new("door", door), Label::new("key", key)];
    let outcome = report.outcome.as_str();
    let with = |more: Option<Label>| {
        let mut labels = own.to_vec();
        labels.extend([
            Label::new("gen_ai_operation_name", "chat"),
            Label::new("gen_ai_provider_name", "anthropic"),
            Label::new("outcome", outcome),
        ]);
        labels.extend(more);
        labels
    };
    let error = matches!(report.outcome, Outcome::Failed(_)).then(|| Label::new("error_type", outcome));
    histogram!(REQUEST_DURATION, with(error)).record(report.total);
    if let Some(first_token) = report.first_token {
        histogram!(TIME_TO_FIRST_TOKEN, with(None)).record(first_token);
    }
    if let Some(queued) = report.queued {
        histogram!(QUEUE_WAIT, own.to_vec()).record(queued);
    }
    let usage = report.usage;
    for (kind, tokens) in [("input", usage.prompt_tokens), ("output", usage.completion_tokens)] {
        if tokens > 0 {
            histogram!(TOKEN_USAGE, with(Some(Label::new("gen_ai_token_type", kind)))).record(tokens as f64);
        }
    }
    for (name, tokens) in [(CACHE_READ, usage.cached_tokens), (CACHE_WRITE, usage.cache_write_tokens)] {
        if tokens > 0 {
            counter!(name, own.to_vec()).increment(tokens);
        }
    }
}
