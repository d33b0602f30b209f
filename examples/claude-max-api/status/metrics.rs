//! `/metrics`: the library's metrics in Prometheus' text format.

use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tower_claude::cli::Status;
use tower_claude::http::MetricsLayer;

/// How often the recorder aggregates its samples if nobody scrapes `/metrics`. Otherwise they would pile up.
const UPKEEP: Duration = Duration::from_secs(60);

/// The metrics recorder, global for the lifetime of the process.
#[derive(Clone)]
pub(crate) struct Metrics(PrometheusHandle);

impl Metrics {
    /// Installs the recorder. Must be called inside a tokio runtime.
    pub(crate) fn start() -> Result<Metrics, String> {
        let started = || {
            let mut builder = PrometheusBuilder::new();
            for (name, buckets) in MetricsLayer::BUCKETS {
                builder = builder.set_buckets_for_metric(Matcher::Full((*name).to_owned()), buckets)?;
            }
            builder.install_recorder()
        };
        let handle = started().map_err(|error| format!("Cannot record metrics: {error}."))?;
        MetricsLayer::describe();
        Status::describe_metrics();
        let upkeep = handle.clone();
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(UPKEEP).await;
                upkeep.run_upkeep();
            }
        });
        Ok(Metrics(handle))
    }

    /// All metrics as text. Those of the processes are updated first.
    pub(crate) fn render(&self, status: &Status) -> String {
        status.record_metrics();
        self.0.render()
    }
}
