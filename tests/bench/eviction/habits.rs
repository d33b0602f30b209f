//! Conversations as they come: agents in bursts, people's long chats, batches, and all of them at once.
//!
//! Agents, chats and batches are what we take them to be. `Coding` has the figures by which NVIDIA's
//! AIPerf 0.13 makes its coding sessions ("1k_sessions_200k_ctx"): of the pauses 70 % are calls of functions, of 2 s in the median
//! and 5 on average, and the others people's, of 15 and 30 s; 4,000 new tokens a turn in the median and 6,000 on average; and
//! sessions of 57,000 to 200,000 tokens, of which one in twenty ends with each turn, and later more.
//!
//! `Assistant` was measured: it is how people come back at a chat assistant, from the conversations in Mooncake's trace of an hour of
//! Kimi (kvcache-ai/Mooncake, `FAST25-release/traces/conversation_trace.jsonl`, Apache-2.0). In three windows of it, of 15 to 24 s
//! each, there are 188 requests. The blocks of 512 tokens that a prompt shares with earlier ones are numbered in the order in which
//! they came, so they tell when its conversation was last gone on with, by some 20 s: of 85 that go on with one, how long ago that
//! was stands below. A turn that fills no block of its own is not seen, so there are some turns more, and shorter silences.

use super::draw::Draw;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Pattern {
    /// Bursts of turns that follow each other at once, with minutes of silence between them.
    Agents,
    /// A person's messages, minutes apart, with now and then a long silence.
    Chats,
    /// A person and an agent at a large code base, quick and with much context.
    Coding,
    /// People at a chat assistant, who come back or do not.
    Assistant,
    /// One question each, and nothing more.
    Batch,
    /// Half agents, a quarter chats, a quarter batch.
    Mixed,
}

impl Pattern {
    pub(crate) const ALL: [Pattern; 6] =
        [Pattern::Agents, Pattern::Chats, Pattern::Coding, Pattern::Assistant, Pattern::Batch, Pattern::Mixed];

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
        Pattern::Assistant => 512.0,
        Pattern::Batch | Pattern::Mixed => 2_000.0,
    }
}

/// All turns of a conversation. It is the same whatever becomes of its processes.
pub(crate) fn conversation(pattern: Pattern, draw: &mut Draw) -> Vec<Turn> {
    let turns = match pattern {
        Pattern::Agents => agent(draw),
        Pattern::Chats => chat(draw),
        Pattern::Coding => coding(draw),
        Pattern::Assistant => assistant(draw),
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

/// How long ago a conversation was last gone on with that now is, in seconds.
const RETURNS: [u16; 85] = [
    13, 19, 26, 30, 37, 40, 40, 40, 43, 48, 48, 52, 53, 53, 55, 59, 59, 60, 60, 62, 71, 75, 77, 81, 82, 83, 83, 86, 87,
    88, 90, 90, 92, 95, 95, 96, 101, 103, 104, 105, 113, 115, 117, 123, 124, 138, 143, 149, 150, 151, 153, 161, 168,
    169, 169, 174, 198, 198, 200, 203, 235, 246, 250, 252, 253, 257, 257, 283, 289, 297, 299, 337, 348, 350, 385, 408,
    464, 466, 471, 479, 660, 664, 1591, 2193, 2664,
];

fn assistant(draw: &mut Draw) -> Vec<Turn> {
    let mut turns = Vec::new();
    loop {
        let new = if turns.is_empty() { log_normal(draw, 4_300.0, 11_000.0) } else { log_normal(draw, 900.0, 3_500.0) };
        // 350 tokens on average, at 60 a second.
        let answer = 1.0 + exponential(draw, 6.0);
        let silence = f64::from(draw.one_of(&RETURNS)) - answer;
        turns.push(Turn { new: new.min(120_000.0), answer, calls: false, silence: Some(silence.max(1.0)) });
        // Half of the requests of the later two windows go on with a conversation, those that go on with a first turn no less
        // than others.
        if draw.percent(50) {
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
