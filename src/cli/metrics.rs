//! A [`Status`] as metrics, through the `metrics` facade.

use metrics::{Unit, counter, describe_counter, describe_gauge, gauge};

use super::{HealthStatus, Status};

#[cfg_attr(docsrs, doc(cfg(feature = "metrics")))]
impl Status {
    /// Describes the metrics of [`record_metrics`](Self::record_metrics) to the recorder. Call it once, when that is
    /// installed.
    pub fn describe_metrics() {
        describe_gauge!("tower_claude_up", "1, or 0 while Claude Code processes fail to start.");
        describe_gauge!("tower_claude_processes", "Claude Code processes, by what they do.");
        describe_gauge!("tower_claude_processes_max", "How many Claude Code processes there may be.");
        describe_gauge!(
            "tower_claude_processes_memory_bytes",
            Unit::Bytes,
            "What Claude Code processes hold of memory together."
        );
        describe_gauge!("tower_claude_queue_length", "Requests that wait for a process.");
        describe_gauge!("tower_claude_queue_max", "How many requests may wait for a process.");
        describe_counter!("tower_claude_turns_total", "Turns, by how they came by their process.");
        describe_counter!("tower_claude_process_starts_total", "Processes that were started.");
        describe_counter!("tower_claude_process_ends_total", "Processes that have ended, by reason.");
        describe_counter!("tower_claude_replays_total", "Conversations replayed on another process, by reason.");
        describe_gauge!("tower_claude_plan_utilization_ratio", "How much of a usage window is used, from 0 to 1.");
        describe_gauge!(
            "tower_claude_plan_reset_timestamp_seconds",
            Unit::Seconds,
            "When a usage window begins anew, in seconds since 1970."
        );
        describe_gauge!("tower_claude_plan_overage", "1 while requests draw on extra usage, 0 while not.");
        describe_gauge!(
            "tower_claude_plan_rejecting",
            "1 while a usage window is used up, which refuses requests or has them draw on extra usage."
        );
    }

    /// Sets these metrics from the status, through the [`metrics`](https://docs.rs/metrics) facade. Call it on a new status
    /// for each scrape.
    ///
    /// | metric | kind | what |
    /// |---|---|---|
    /// | `tower_claude_up` | gauge | 1, or 0 while processes fail to start |
    /// | `tower_claude_processes` | gauge | by `state`: `busy`, `live`, `parked`, `warm`, `ending` |
    /// | `tower_claude_processes_max` | gauge | how many there may be |
    /// | `tower_claude_processes_memory_bytes` | gauge | what they hold together; absent where the system does not say (macOS) |
    /// | `tower_claude_queue_length`, `tower_claude_queue_max` | gauge | requests that wait for a process, and how many may |
    /// | `tower_claude_turns_total` | counter | by `process`, how they got it: `live`, `warm`, `cold` |
    /// | `tower_claude_process_starts_total` | counter | |
    /// | `tower_claude_process_ends_total` | counter | by `reason`: [`ProcessEvents::ends`](super::ProcessEvents::ends) |
    /// | `tower_claude_replays_total` | counter | by `reason`: [`ProcessEvents::replays`](super::ProcessEvents::replays) |
    /// | `tower_claude_plan_utilization_ratio` | gauge | by `window`: how much of it is used, from 0 to 1 |
    /// | `tower_claude_plan_reset_timestamp_seconds` | gauge | by `window`: when it begins anew |
    /// | `tower_claude_plan_overage` | gauge | 1 while requests draw on extra usage, 0 while not; absent until that is known |
    /// | `tower_claude_plan_rejecting` | gauge | by `window`: 1 while it is used up, which refuses requests or has them draw on extra usage |
    pub fn record_metrics(&self) {
        let Status { health, events, .. } = self;
        gauge!("tower_claude_up").set(if health.status == HealthStatus::Ok { 1.0 } else { 0.0 });
        let processes = health.processes;
        let known = processes.busy + processes.live + processes.parked + processes.warm;
        for (state, count) in [
            ("busy", processes.busy),
            ("live", processes.live),
            ("parked", processes.parked),
            ("warm", processes.warm),
            ("ending", processes.total.saturating_sub(known)),
        ] {
            gauge!("tower_claude_processes", "state" => state).set(count as f64);
        }
        gauge!("tower_claude_processes_max").set(processes.max as f64);
        if let Some(bytes) = health.memory.held {
            gauge!("tower_claude_processes_memory_bytes").set(bytes as f64);
        }
        gauge!("tower_claude_queue_length").set(health.queue.length as f64);
        gauge!("tower_claude_queue_max").set(health.queue.max as f64);
        let turns = health.requests;
        for (process, count) in [("live", turns.live), ("warm", turns.warm), ("cold", turns.cold)] {
            counter!("tower_claude_turns_total", "process" => process).absolute(count);
        }
        counter!("tower_claude_process_starts_total").absolute(events.starts);
        for (reason, count) in &events.ends {
            counter!("tower_claude_process_ends_total", "reason" => *reason).absolute(*count);
        }
        for (reason, count) in &events.replays {
            counter!("tower_claude_replays_total", "reason" => *reason).absolute(*count);
        }
        if let Some(overage) = health.overage {
            gauge!("tower_claude_plan_overage").set(f64::from(u8::from(overage)));
        }
        for (name, window) in &health.subscription {
            let labels = [("window", name.clone())];
            if let Some(utilization) = window.utilization {
                gauge!("tower_claude_plan_utilization_ratio", &labels).set(utilization);
            }
            if let Some(resets_at) = window.resets_at {
                gauge!("tower_claude_plan_reset_timestamp_seconds", &labels).set(resets_at);
            }
            gauge!("tower_claude_plan_rejecting", &labels).set(f64::from(u8::from(window.is_used_up())));
        }
    }
}
