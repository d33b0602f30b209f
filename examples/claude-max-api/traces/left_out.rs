//! No traces: this program was built without the feature `otlp`.

use tokio::runtime::Handle;
use tower_claude::http::RequestReport;

use crate::flags;

#[derive(Clone, Debug)]
pub(crate) struct Traces;

impl Traces {
    /// Logs a warning if traces are asked for. It is not an error, since the variable may be set for every program on the
    /// machine.
    pub(crate) fn start(flags: &flags::Traces, _: &Handle) -> Result<Traces, String> {
        if flags.otlp_endpoint.is_some() || flags.otlp_traces_endpoint.is_some() {
            tracing::warn!(
                "no traces are exported: --otlp-endpoint (or OTEL_EXPORTER_OTLP_ENDPOINT) needs a build with \
                 `--features otlp`"
            );
        }
        Ok(Traces)
    }

    pub(crate) fn finished(&self, _: &RequestReport) {}

    pub(crate) fn flush(&self) {}
}
