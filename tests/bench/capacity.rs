//! How many people a host serves, and what runs out first: a simulation of a working hour from the costs of a process.
//!
//! Nothing is measured here. The costs were (Claude Code 2.1.328, two cores; "What a process costs" in `benchmarks.md`), the
//! habits are assumptions, and both stand below to be changed. `SEED` changes the draw.
//!
//! ```text
//! cargo bench --bench capacity
//! SHARE=4 cargo bench --bench capacity        # one person's hour takes 4 % of a five-hour window: how many subscriptions
//! ```

#[path = "soak/draw.rs"]
#[allow(dead_code)]
mod draw;
#[allow(dead_code)]
mod figures;

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use draw::Draw;
use figures::{setting, table};

/// CPU of one process, in seconds: to start and for its first turn, for a later turn, for a delta. The upper end of what was
/// measured.
const FRESH: f64 = 0.55;
const TURN: f64 = 0.036;
const DELTA: f64 = 0.000_11;
/// The server's own, for a turn: that of 16 at once in `overhead`.
const SERVER: f64 = 0.000_84;

/// Memory of one process, in MB: half way from the end of its first turn (105) to that of its fifty-first (145). What all share
/// is the program's text.
const OWN: f64 = 125.0;
const SHARED: f64 = 90.0;

/// A host: its cores, of which half are left for bursts, and the GB of memory that the system and its page cache leave of 32.
const CORES: f64 = 8.0;
const MEMORY: f64 = 26.0;

/// How long a process waits for its conversation's next message, as `--idle-timeout` has it, in seconds.
const IDLE: f64 = 600.0;

/// The habits of one person who works with an agent: conversations in an hour, the person's messages in one, calls of
/// functions that each message leads to, and how long all of that takes, in seconds.
const CONVERSATIONS: f64 = 3.0;
const MESSAGES: u64 = 8;
const CALLS: u64 = 4;
const THINKING: f64 = 75.0;
const ANSWER: f64 = 12.0;
const FUNCTION: f64 = 4.0;
const DELTAS: f64 = 250.0;
/// Tokens that a conversation has grown to by its middle, that are new with a turn, and of an answer.
const CONTEXT: f64 = 40_000.0;
const NEW: f64 = 1_500.0;
const WRITTEN: f64 = 350.0;

const HOUR: f64 = 3600.0;
/// A plan's shorter window, in hours.
const WINDOW: f64 = 5.0;

/// What happens to a process, at a time in milliseconds, with the CPU that it takes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Begins,
    IsStarted,
    AnswerBegins,
    AnswerEnds,
    Ends,
    IsLetGo,
}

#[derive(Default)]
struct Hour {
    cpu: f64,
    turns: f64,
    busy: Vec<usize>,
    under_way: Vec<usize>,
    held: Vec<usize>,
    starts: Vec<f64>,
}

fn main() {
    let seed = setting("SEED", 1) as u64;
    let rows: Vec<Vec<String>> = [1, 10, 100, 1000].into_iter().map(|people| row(people, seed)).collect();
    table(
        "What so many people at work take (99th percentile of a working hour's seconds, unless it says mean)",
        &[
            "people",
            "turns a minute, mean",
            "answers at once",
            "conversations under way",
            "processes held",
            "memory, GB: hosts",
            "cores busy, mean: hosts",
            "starts a second: hosts",
            "hosts of 8 cores and 32 GB, by what",
            "M tokens in five hours: read from the cache, new, of answers",
            "subscriptions",
        ],
        &rows,
    );
}

fn row(people: u64, seed: u64) -> Vec<String> {
    let hour = simulate(people, seed);
    let (busy, under_way, held) = (high(&hour.busy), high(&hour.under_way), high(&hour.held));
    let starts = {
        let mut starts = hour.starts.clone();
        starts.sort_by(f64::total_cmp);
        starts[starts.len() * 99 / 100]
    };
    let memory = (held as f64 * OWN + SHARED) / 1000.0;
    let cores = hour.cpu / HOUR;
    let hosts = [("memory", memory / MEMORY), ("CPU", cores / CORES * 2.0), ("starts", starts * FRESH / CORES)];
    let (what, most) = hosts.iter().fold(("", 0.0), |worst, host| if host.1 > worst.1 { *host } else { worst });
    let [by_memory, by_cpu, by_starts] = hosts.map(|(_, hosts)| format!("{hosts:.2}"));
    let tokens = [CONTEXT, NEW, WRITTEN].map(|tokens| format!("{:.1}", WINDOW * hour.turns * tokens / 1e6));
    let subscriptions = match setting("SHARE", 0) {
        0 => "say `SHARE`".to_owned(),
        percent => format!("{:.0}", (people as f64 * WINDOW * percent as f64 / 100.0).ceil()),
    };
    vec![
        people.to_string(),
        format!("{:.0}", hour.turns / 60.0),
        busy.to_string(),
        under_way.to_string(),
        held.to_string(),
        format!("{memory:.1}: {by_memory}"),
        format!("{cores:.2}: {by_cpu}"),
        format!("{starts:.0}: {by_starts}"),
        format!("{:.0}, {what}", most.ceil()),
        tokens.join(", "),
        subscriptions,
    ]
}

/// The value that is exceeded in one second of a hundred.
fn high(seconds: &[usize]) -> usize {
    let mut sorted = seconds.to_vec();
    sorted.sort_unstable();
    sorted[sorted.len() * 99 / 100]
}

fn simulate(people: u64, seed: u64) -> Hour {
    let mut events = BinaryHeap::new();
    let mut hour = Hour { starts: vec![0.0; HOUR as usize], ..Hour::default() };
    for person in 0..people {
        let mut draw = Draw::new(seed, person);
        // Their hour began before this one.
        let mut at = -HOUR + exponential(&mut draw, HOUR / CONVERSATIONS);
        while at < HOUR {
            conversation(at, &mut draw, &mut events, &mut hour);
            at += exponential(&mut draw, HOUR / CONVERSATIONS);
        }
    }
    let (mut busy, mut under_way, mut held, mut second) = (0usize, 0usize, 0usize, 0u64);
    while let Some(Reverse((at, event))) = events.pop() {
        while second < HOUR as u64 && at > (second * 1000) as i64 {
            hour.busy.push(busy);
            hour.under_way.push(under_way);
            hour.held.push(held);
            second += 1;
        }
        match event {
            Event::Begins => under_way += 1,
            Event::IsStarted => held += 1,
            Event::AnswerBegins => busy += 1,
            Event::AnswerEnds => busy -= 1,
            Event::Ends => under_way -= 1,
            Event::IsLetGo => held -= 1,
        }
    }
    hour
}

fn conversation(start: f64, draw: &mut Draw, events: &mut BinaryHeap<Reverse<(i64, Event)>>, hour: &mut Hour) {
    let mut add = |at: f64, event| events.push(Reverse(((at * 1000.0) as i64, event)));
    let in_this_hour = |at: f64| (0.0..HOUR).contains(&at);
    // The first turn is in the cost of a fresh process.
    if in_this_hour(start) {
        hour.starts[start as usize] += 1.0;
        hour.cpu += FRESH - TURN;
    }
    add(start, Event::Begins);
    add(start, Event::IsStarted);
    let mut at = start;
    let messages = 1 + draw.below(2 * MESSAGES - 1);
    for message in 0..messages {
        if message > 0 {
            let thinking = exponential(draw, THINKING);
            if thinking > IDLE {
                add(at + IDLE, Event::IsLetGo);
                add(at + thinking, Event::IsStarted);
                if in_this_hour(at + thinking) {
                    hour.starts[(at + thinking) as usize] += 1.0;
                    hour.cpu += FRESH - TURN;
                }
            }
            at += thinking;
        }
        for call in 0..=draw.below(2 * CALLS + 1) {
            if call > 0 {
                at += exponential(draw, FUNCTION);
            }
            add(at, Event::AnswerBegins);
            if in_this_hour(at) {
                hour.cpu += TURN + DELTAS * DELTA + SERVER;
                hour.turns += 1.0;
            }
            at += exponential(draw, ANSWER);
            add(at, Event::AnswerEnds);
        }
    }
    add(at, Event::Ends);
    add(at + IDLE, Event::IsLetGo);
}

fn exponential(draw: &mut Draw, mean: f64) -> f64 {
    let share = (draw.below(1 << 32) as f64 + 1.0) / 4_294_967_296.0;
    -mean * share.ln()
}
