//! Deltas a second through the whole stack: the CLI's lines in, server-sent events out, on a server of one thread.

use std::path::Path;
use std::time::Instant;

use super::client::Conversation;
use super::figures::{setting, table};
use super::procfs::cpu_time;
use super::separate::Separate;
use super::verdict;

const DELTAS: usize = 1_000_000;

const ROUNDS: usize = 5;

pub(crate) async fn measure(stand_in: &Path) {
    let deltas = DELTAS * setting("SCALE", 1);
    let server = Separate::start(stand_in, 2, true);
    let (mut of_cpu, mut of_time, mut bytes) = (Vec::new(), Vec::new(), 0);
    for _ in 0..ROUNDS {
        let mut conversation = Conversation::open(server.address, "opus", "Terse.", None).await;
        let (cpu, began) = (cpu_time(server.pid), Instant::now());
        let answer = conversation.say(&format!("[[count {deltas}]]")).await;
        let (length, events) = answer.drain().await;
        // Beside the deltas: the role, the finish and the end.
        assert_eq!(events, deltas as u64 + 3, "deltas got lost");
        of_time.push(deltas as f64 / began.elapsed().as_secs_f64());
        of_cpu.push(deltas as f64 / (cpu_time(server.pid) - cpu).as_secs_f64());
        bytes = length;
    }
    let median = |mut rates: Vec<f64>| {
        rates.sort_by(f64::total_cmp);
        rates[rates.len() / 2]
    };
    let (of_cpu, of_time) = (median(of_cpu), median(of_time));
    let rows = [vec![
        format!("{deltas}"),
        format!("{:.0} bytes", bytes as f64 / deltas as f64),
        format!("{of_time:.0}"),
        format!("{of_cpu:.0}"),
        format!("≥ 500,000: {}", verdict(of_cpu, 500_000.0, false)),
    ]];
    let head =
        ["deltas", "an event", "a second, with the CLI and the client beside it", "**a second of one core**", "target"];
    table("Deltas through the whole stack", &head, &rows);
}
