//! Where traces go.

use clap::Args;

#[derive(Args, Debug)]
#[command(next_help_heading = "Traces")]
pub(crate) struct Traces {
    /// An OpenTelemetry collector without TLS, such as http://127.0.0.1:4318, that gets a span
    /// for each request that asks a model: model, tokens, times and outcome, nothing that was
    /// said (needs a build with `--features otlp`; default: none)
    #[arg(long, verbatim_doc_comment, value_name = "URL", env = "OTEL_EXPORTER_OTLP_ENDPOINT", hide_env_values = true)]
    pub(crate) otlp_endpoint: Option<String>,
    /// The same with the whole URL for traces, such as http://127.0.0.1:4318/v1/traces; it
    /// takes precedence
    #[arg(
        long,
        verbatim_doc_comment,
        value_name = "URL",
        env = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        hide_env_values = true
    )]
    pub(crate) otlp_traces_endpoint: Option<String>,
}
