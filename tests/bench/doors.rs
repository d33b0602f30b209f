//! The first text at each door, against Chat Completions, on the stand-in: with the real CLI, whose own time differs by
//! milliseconds from turn to turn, a difference between two doors would take hundreds of rounds to see.

use std::path::Path;
use std::time::Duration;

use super::client::{Conversation, health};
use super::door::Door;
use super::figures::{Samples, setting, table};
use super::separate::Separate;
use super::verdict;

/// How much later than on Chat Completions a first text may come at another door, in milliseconds.
const APART: f64 = 1.0;

/// How often all of it is begun anew, and how many later turns and results of calls there are each time.
const BATCHES: usize = 40;
const TURNS: usize = 10;

const SYSTEM: &str = "Terse.";
const TOOL: &str = "exec";
const CALL: &str = r#"[[tool exec {"command":"date"}]]"#;

#[derive(Default)]
struct Times {
    first: Samples,
    later: Samples,
    results: Samples,
}

/// The conversations at one door: one without a function, and one with.
struct AtDoor {
    plain: Conversation,
    tools: Conversation,
}

pub(crate) async fn measure(stand_in: &Path) {
    let mut times = <[Times; 3]>::default();
    for batch in 0..BATCHES * setting("SCALE", 1) {
        run(stand_in, batch, &mut times).await;
    }
    let [chat, ..] = &times;
    let rows = Door::ALL.into_iter().zip(&times).map(|(door, times)| {
        let mut row = vec![format!("`{}`", door.path())];
        for (these, those) in
            [(&times.first, &chat.first), (&times.later, &chat.later), (&times.results, &chat.results)]
        {
            row.push(format!("{:.3}", these.median()));
            row.push(if door == Door::Chat { format!("{} turns", these.len()) } else { apart(these, those) });
        }
        row
    });
    let target = format!("over chat, paired (95 % of confidence), ≤ {APART} ms");
    let head = ["", "first turn", &target, "later turn", &target, "results of a call", &target];
    table("Latency to the first text at the three doors, in milliseconds", &head, &rows.collect::<Vec<_>>());
}

/// The difference of two doors: a target is met where all of the interval is below it.
fn apart(these: &Samples, those: &Samples) -> String {
    let (least, most) = these.interval_of_median_difference(those);
    let difference = these.median_difference(those);
    format!("{difference:+.3} ({least:+.3} to {most:+.3}): {}", verdict(most, APART, true))
}

/// All doors have the same turn one after the other, in an order that goes round.
async fn run(stand_in: &Path, batch: usize, times: &mut [Times; 3]) {
    let server = Separate::start(stand_in, 2 * Door::ALL.len() + 2, false);
    let mut doors: [Option<AtDoor>; 3] = [None, None, None];
    for at in order(batch) {
        let open = |tool| Conversation::at(Door::ALL[at], server.address, "opus", SYSTEM, tool);
        let mut door = AtDoor { plain: open(None).await, tools: open(Some(TOOL)).await };
        warm(&server).await;
        let (first, process) = turn(&mut door.plain, "hello").await;
        assert_eq!(process, "warm", "the turn was not the one that is measured");
        times[at].first.push(first);
        doors[at] = Some(door);
    }
    for repeat in 0..TURNS {
        for at in order(batch + repeat) {
            let Some(door) = &mut doors[at] else { continue };
            let (later, process) = turn(&mut door.plain, &format!("hello {repeat}")).await;
            assert_eq!(process, "live", "the turn was not the one that is measured");
            times[at].later.push(later);
            let call = door.tools.say(&format!("{:?} {repeat}: {CALL}", Door::ALL[at])).await;
            door.tools.finish(call).await;
            let answer = door.tools.result(&format!("result {repeat}")).await;
            assert_eq!(answer.process, "live", "the results did not go to the parked process");
            times[at].results.push(answer.first);
            door.tools.finish(answer).await;
        }
    }
}

fn order(number: usize) -> impl Iterator<Item = usize> {
    (0..Door::ALL.len()).map(move |place| (place + number) % Door::ALL.len())
}

async fn turn(conversation: &mut Conversation, text: &str) -> (Duration, String) {
    let answer = conversation.say(text).await;
    let (first, process) = (answer.first, answer.process.clone());
    conversation.finish(answer).await;
    (first, process)
}

/// Waits for a warm process, and for what its start has left to do.
async fn warm(server: &Separate) {
    while health(server.address).await["processes"]["warm"].as_u64() < Some(1) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
}
