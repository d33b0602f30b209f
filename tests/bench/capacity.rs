//! How many people a host serves, and what runs out first: a simulation of a working hour from the costs of a process.
//!
//! Nothing is measured here. The costs were (Claude Code 2.1.328, two cores), the habits are assumptions, and both stand
//! below to be changed. `SEED` changes the draw.
//!
//! ```text
//! cargo bench --bench capacity
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

/// CPU of one process, in seconds: to start, for its first turn beyond that of a later one, for a turn, for a delta.
const START: f64 = 0.51;
const FIRST_TURN: f64 = 0.09;
const TURN: f64 = 0.033;
const DELTA: f64 = 0.000_22;

/// Memory of one process, in MB: its resident set, of which some 63 are the program's own text and shared by all.
const PROCESS: f64 = 170.0;
const SHARED: f64 = 63.0;

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
/// Tokens that a conversation has grown to by its middle, and of an answer.
const CONTEXT: f64 = 40_000.0;
const WRITTEN: f64 = 350.0;

const HOUR: f64 = 3600.0;

/// What happens to a process, at a time in milliseconds, with the CPU that it takes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Begins,
    AnswerBegins,
    AnswerEnds,
    IsLetGo,
}

#[derive(Default)]
struct Hour {
    cpu: f64,
    turns: f64,
    busy: Vec<usize>,
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
            "processes held",
            "memory, GB",
            "starts a second",
            "cores busy, mean",
            "hosts of 8 cores and 32 GB",
            "what runs out first",
            "tokens an hour: read, written",
        ],
        &rows,
    );
}

fn row(people: u64, seed: u64) -> Vec<String> {
    let hour = simulate(people, seed);
    let (busy, held) = (high(&hour.busy), high(&hour.held));
    let starts = {
        let mut starts = hour.starts.clone();
        starts.sort_by(f64::total_cmp);
        starts[starts.len() * 99 / 100]
    };
    let memory = (held as f64 * (PROCESS - SHARED) + SHARED) / 1000.0;
    let cores = hour.cpu / HOUR;
    // Half of the cores are left for bursts, and of the memory what the system and the page cache take.
    let hosts = [("memory", memory / 26.0), ("CPU", cores / 4.0), ("starts", starts * START / 8.0)];
    let (what, most) = hosts.iter().fold(("", 0.0), |worst, host| if host.1 > worst.1 { *host } else { worst });
    vec![
        people.to_string(),
        format!("{:.0}", hour.turns / 60.0),
        busy.to_string(),
        held.to_string(),
        format!("{memory:.1}"),
        format!("{starts:.0}"),
        format!("{cores:.2}"),
        format!("{:.0}", most.ceil()),
        what.to_owned(),
        format!("{:.1} M, {:.2} M", hour.turns * CONTEXT / 1e6, hour.turns * WRITTEN / 1e6),
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
    let (mut busy, mut held, mut second) = (0usize, 0usize, 0u64);
    while let Some(Reverse((at, event))) = events.pop() {
        while second < HOUR as u64 && at > (second * 1000) as i64 {
            hour.busy.push(busy);
            hour.held.push(held);
            second += 1;
        }
        match event {
            Event::Begins => held += 1,
            Event::AnswerBegins => busy += 1,
            Event::AnswerEnds => busy -= 1,
            Event::IsLetGo => held -= 1,
        }
    }
    hour
}

fn conversation(start: f64, draw: &mut Draw, events: &mut BinaryHeap<Reverse<(i64, Event)>>, hour: &mut Hour) {
    let mut add = |at: f64, event| events.push(Reverse(((at * 1000.0) as i64, event)));
    let in_this_hour = |at: f64| (0.0..HOUR).contains(&at);
    if in_this_hour(start) {
        hour.starts[start as usize] += 1.0;
        hour.cpu += START + FIRST_TURN;
    }
    add(start, Event::Begins);
    let mut at = start;
    let messages = 1 + draw.below(2 * MESSAGES - 1);
    for message in 0..messages {
        if message > 0 {
            let thinking = exponential(draw, THINKING);
            if thinking > IDLE {
                add(at + IDLE, Event::IsLetGo);
                add(at + thinking, Event::Begins);
                if in_this_hour(at + thinking) {
                    hour.starts[(at + thinking) as usize] += 1.0;
                    hour.cpu += START + FIRST_TURN;
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
                hour.cpu += TURN + DELTAS * DELTA;
                hour.turns += 1.0;
            }
            at += exponential(draw, ANSWER);
            add(at, Event::AnswerEnds);
        }
    }
    add(at + IDLE, Event::IsLetGo);
}

fn exponential(draw: &mut Draw, mean: f64) -> f64 {
    let share = (draw.below(1 << 32) as f64 + 1.0) / 4_294_967_296.0;
    -mean * share.ln()
}
