//! Conversations as they come: agents in bursts, people's long chats, batches, and all of them at once.
//!
//! None of them was recorded. Agents, chats and batches are what we take them to be. `Coding` has the figures by which NVIDIA's
//! AIPerf 0.13 makes its coding sessions ("1k_sessions_200k_ctx"): of the pauses 70 % are calls of functions, of 2 s in the median
//! and 5 on average, and the others people's, of 15 and 30 s; 4,000 new tokens a turn in the median and 6,000 on average; and
//! sessions of 57,000 to 200,000 tokens, of which one in twenty ends with each turn, and later more.

use super::draw::Draw;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Pattern {
    /// Bursts of turns that follow each other at once, with minutes of silence between them.
    Agents,
    /// A person's messages, minutes apart, with now and then a long silence.
    Chats,
    /// A person and an agent at a large code base, quick and with much context.
    Coding,
    /// One question each, and nothing more.
    Batch,
    /// Half agents, a quarter chats, a quarter batch.
    Mixed,
}

impl Pattern {
    pub(crate) const ALL: [Pattern; 5] =
        [Pattern::Agents, Pattern::Chats, Pattern::Coding, Pattern::Batch, Pattern::Mixed];

    /// What the conversations are that take this one of the seats.
    pub(crate) fn of_seat(self, seat: u64) -> Pattern {
        match (self, seat % 4) {
            (Pattern::Mixed, 0 | 2) => Pattern::Agents,
            (Pattern::Mixed, 1) => Pattern::Chats,
            (Pattern::Mixed, _) => Pattern::Batch,
            (pattern, _) => pattern,
        }
    }
}

/// One turn of a conversation.
pub(crate) struct Turn {
    /// Tokens that are new with it, the last answer among them.
    pub(crate) new: f64,
    /// How long the answer takes, in seconds.
    pub(crate) answer: f64,
    /// Whether it ends with the call of a function.
    pub(crate) calls: bool,
    /// How long until the next turn, if there is one, from the end of the answer on.
    pub(crate) silence: Option<f64>,
}

/// What a conversation begins with: its prompt and functions, in tokens.
pub(crate) fn beginning(pattern: Pattern) -> f64 {
    match pattern {
        Pattern::Agents => 15_000.0,
        Pattern::Chats => 3_000.0,
        Pattern::Coding => 57_000.0,
        Pattern::Batch | Pattern::Mixed => 2_000.0,
    }
}

/// All turns of a conversation. It is the same whatever becomes of its processes.
pub(crate) fn conversation(pattern: Pattern, draw: &mut Draw) -> Vec<Turn> {
    let turns = match pattern {
        Pattern::Agents => agent(draw),
        Pattern::Chats => chat(draw),
        Pattern::Coding => coding(draw),
        Pattern::Batch | Pattern::Mixed => vec![turn(draw, 1_000.0, 8.0, None)],
    };
    let last = turns.len().saturating_sub(1);
    turns
        .into_iter()
        .enumerate()
        .map(|(at, turn)| if at == last { Turn { silence: None, ..turn } } else { turn })
        .collect()
}

fn agent(draw: &mut Draw) -> Vec<Turn> {
    let mut turns = Vec::new();
    for _ in 0..=draw.below(6) {
        let calls = 4 + draw.below(30);
        for _ in 0..calls {
            let function = exponential(draw, 4.0);
            turns.push(Turn { calls: true, ..turn(draw, 1_500.0, 8.0, Some(function)) });
        }
        let pause = heavy(draw, 60.0);
        turns.push(turn(draw, 600.0, 12.0, Some(pause)));
    }
    turns
}

fn chat(draw: &mut Draw) -> Vec<Turn> {
    let messages = 1 + draw.below(40);
    (0..messages)
        .map(|_| {
            let thinking = heavy(draw, 30.0);
            turn(draw, 900.0, 12.0, Some(thinking))
        })
        .collect()
}

fn coding(draw: &mut Draw) -> Vec<Turn> {
    const MOST: f64 = 200_000.0;
    let (mut turns, mut tokens) = (Vec::new(), beginning(Pattern::Coding));
    loop {
        let calls = draw.percent(70);
        let silence = if calls { log_normal(draw, 2.0, 5.0) } else { log_normal(draw, 15.0, 30.0) };
        let new = log_normal(draw, 4_000.0, 6_000.0).min(50_000.0);
        // At 60 tokens a second.
        let answer = 1.0 + log_normal(draw, 800.0, 1_000.0) / 60.0;
        turns.push(Turn { new, answer, calls, silence: Some(silence) });
        tokens += new;
        if tokens > MOST || chance(draw) < 0.05 * (1.0 + 0.5 * tokens / MOST) {
            return turns;
        }
    }
}

fn turn(draw: &mut Draw, new: f64, answer: f64, silence: Option<f64>) -> Turn {
    Turn { new: exponential(draw, new), answer: 1.0 + exponential(draw, answer), calls: false, silence }
}

pub(crate) fn exponential(draw: &mut Draw, mean: f64) -> f64 {
    -mean * chance(draw).ln()
}

/// Pareto's: most are short, with a median of twice the least, and some are very long; an hour at the most.
fn heavy(draw: &mut Draw, least: f64) -> f64 {
    (least / chance(draw)).min(3600.0)
}

fn log_normal(draw: &mut Draw, median: f64, mean: f64) -> f64 {
    let deviation = (2.0 * (mean / median).ln()).sqrt();
    let normal = (-2.0 * chance(draw).ln()).sqrt() * (std::f64::consts::TAU * chance(draw)).cos();
    median * (deviation * normal).exp()
}

/// Above 0, at most 1.
fn chance(draw: &mut Draw) -> f64 {
    (draw.below(1 << 32) as f64 + 1.0) / 4_294_967_296.0
}
