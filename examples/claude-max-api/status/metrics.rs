//! `/metrics`: the library's metrics in Prometheus' text format.

use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tower_claude::cli::Status;
use tower_claude::http::MetricsLayer;

/// How often what was recorded is summed up where nobody asks for it.
const UPKEEP: Duration = Duration::from_secs(60);

/// Where metrics are recorded, for as long as this program runs.
#[derive(Clone)]
pub(crate) struct Metrics(PrometheusHandle);

impl Metrics {
    /// Records all metrics of this program from here on. Must be called in a tokio runtime.
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

    /// All of them, those of the processes as they are now.
    pub(crate) fn render(&self, status: &Status) -> String {
        status.record_metrics();
        self.0.render()
    }
}
