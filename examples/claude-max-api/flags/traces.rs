//! Where traces go.

use clap::Args;

#[derive(Args, Debug)]
#[command(next_help_heading = "Traces")]
pub(crate) struct Traces {
    /// An OpenTelemetry collector that is told of each request that asks a model, such as
    /// http://127.0.0.1:4318: model, tokens, times and outcome, nothing that was said
    /// (needs a build with `--features otlp`)
    #[arg(long, verbatim_doc_comment, value_name = "URL", env = "OTEL_EXPORTER_OTLP_ENDPOINT")]
    pub(crate) otlp_endpoint: Option<String>,
    /// The same, where the collector takes traces at an address of their own, such as
    /// http://127.0.0.1:4318/v1/traces; it counts for more
    #[arg(long, verbatim_doc_comment, value_name = "URL", env = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")]
    pub(crate) otlp_traces_endpoint: Option<String>,
}
