//! Conversations as they come: agents in bursts, people's long chats, batches, and all of them at once.

use super::draw::Draw;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Pattern {
    /// Bursts of turns that follow each other at once, with minutes of silence between them.
    Agents,
    /// A person's messages, minutes apart, with now and then a long silence.
    Chats,
    /// One question each, and nothing more.
    Batch,
    /// Half agents, a quarter chats, a quarter batch.
    Mixed,
}

impl Pattern {
    pub(crate) const ALL: [Pattern; 4] = [Pattern::Agents, Pattern::Chats, Pattern::Batch, Pattern::Mixed];

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
        Pattern::Batch | Pattern::Mixed => 2_000.0,
    }
}

/// All turns of a conversation. It is the same whatever becomes of its processes.
pub(crate) fn conversation(pattern: Pattern, draw: &mut Draw) -> Vec<Turn> {
    let turns = match pattern {
        Pattern::Agents => agent(draw),
        Pattern::Chats => chat(draw),
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

/// Above 0, at most 1.
fn chance(draw: &mut Draw) -> f64 {
    (draw.below(1 << 32) as f64 + 1.0) / 4_294_967_296.0
}
