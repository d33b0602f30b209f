//! The places of one server, and what its turns cost under a rule.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::draw::Draw;
use super::figures::setting;
use super::habits::{self, Pattern, Turn, exponential};
use super::recording::{Arrival, Recording};
use super::rules::{HoldBack, Rule};

/// How long a process waits for its conversation's next message, as `--idle-timeout` has it, in seconds.
const IDLE: f64 = 600.0;

/// How much later a first token comes on a process that is started for the request, in seconds, and with each turn that is
/// replayed on it (2.1.328).
const START: f64 = 0.68;
const REPLAYED_TURN: f64 = 0.01;

/// What a token costs that is written to the prompt cache, and read from it, in tokens at the input price.
const WRITTEN: f64 = 1.25;
const READ: f64 = 0.1;

/// A conversation that a process holds between turns.
pub(crate) struct Waiting {
    conversation: u64,
    /// When its last turn ended, and the one before that.
    pub(crate) since: f64,
    pub(crate) before: Option<f64>,
    pub(crate) turns: usize,
    /// Whether it waits for a function's result.
    pub(crate) is_parked: bool,
    /// What a replay says.
    pub(crate) tokens: f64,
    pub(crate) worth: f64,
    /// When it goes on.
    pub(crate) next: Option<f64>,
}

#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) turns: u64,
    pub(crate) replays: u64,
    /// Tokens of the conversations that were replayed, each time they were.
    pub(crate) replayed_tokens: f64,
    /// Input tokens, at the input price.
    pub(crate) tokens: f64,
    /// Seconds by which first tokens were later than on live processes, queue included.
    pub(crate) delay: f64,
    /// First turns of conversations, and what part of that is theirs.
    pub(crate) newcomers: u64,
    pub(crate) newcomers_delay: f64,
}

/// A conversation under way.
struct Conversation {
    number: u64,
    seat: u64,
    prompt: f64,
    tokens: f64,
    turns: Vec<Turn>,
    /// How many answers it had before the first of these turns.
    answers: usize,
    done: usize,
    ended: Option<f64>,
    before: Option<f64>,
}

/// A conversation's next turn, due at some time.
struct Due(f64, Conversation);

impl PartialEq for Due {
    fn eq(&self, other: &Due) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Due) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The earliest is the greatest.
impl Ord for Due {
    fn cmp(&self, other: &Due) -> Ordering {
        other.0.total_cmp(&self.0).then(other.1.number.cmp(&self.1.number))
    }
}

/// Which conversations come.
#[derive(Clone, Copy)]
pub(crate) enum Arrivals<'a> {
    /// Each of so many seats is taken by one conversation after the other, for some hours.
    Drawn { pattern: Pattern, seats: u64, seed: u64, hours: f64 },
    /// Those of a recording. Each begins when it did, and as long after an answer as there its next turn comes.
    Recorded(&'a Recording),
}

impl Arrivals<'_> {
    /// The first ones.
    fn first(self) -> BinaryHeap<Due> {
        match self {
            Arrivals::Drawn { pattern, seats, seed, .. } => (0..seats)
                .map(|seat| {
                    let start = exponential(&mut Draw::new(seed, seat), 300.0);
                    Due(start, conversation(pattern.of_seat(seat), seat, 0, seed))
                })
                .collect(),
            Arrivals::Recorded(recording) => {
                (0..).zip(recording.conversations()).filter_map(|(number, turns)| recorded(number, &turns)).collect()
            }
        }
    }

    /// The one that comes after this one, which has ended now.
    fn after(self, of: &Conversation, now: f64) -> Option<Due> {
        let Arrivals::Drawn { pattern, seed, .. } = self else { return None };
        let number = of.number + 1;
        let pause = exponential(&mut Draw::new(seed ^ 1, number), 30.0);
        Some(Due(now + pause, conversation(pattern.of_seat(of.seat), of.seat, number, seed)))
    }

    fn end(self) -> f64 {
        match self {
            Arrivals::Drawn { hours, .. } => hours * 3600.0,
            Arrivals::Recorded(_) => f64::INFINITY,
        }
    }
}

/// Fewer places than conversations.
pub(crate) struct Server {
    pub(crate) places: usize,
    pub(crate) rule: Rule,
    pub(crate) hold_back: HoldBack,
}

/// What the turns cost on such a server.
pub(crate) fn simulate(server: &Server, arrivals: Arrivals) -> Outcome {
    let &Server { places, rule, hold_back } = server;
    let mut outcome = Outcome::default();
    let cache = setting("CACHE", 300) as f64;
    let mut due = arrivals.first();
    let mut waiting: Vec<Waiting> = Vec::new();
    let (mut floor, mut last) = (0.0, 0.0);
    // When the warm process is up.
    let mut warm = None;
    while let Some(Due(wanted, mut of)) = due.pop() {
        if wanted > arrivals.end() {
            break;
        }
        waiting.retain(|one| one.since + IDLE > wanted);
        if warm.is_none() {
            warm = hold_back.make_room(&mut waiting, places, last, wanted).map(|free| free + START);
        }
        last = wanted;
        let mut now = wanted;
        let held = waiting.iter().position(|one| one.conversation == of.number);
        let mut start = START;
        if let Some(at) = held {
            waiting.remove(at);
        } else if let Some(up) = warm.take() {
            start = (up - now).clamp(0.0, START);
        } else if waiting.len() >= places {
            waiting.sort_by(|one, other| one.since.total_cmp(&other.since));
            // Those that are busy stand among them with the time at which they will be done.
            now = now.max(waiting[0].since);
            let idle = waiting.iter().take_while(|one| one.since <= now).count();
            if let Some(at) = rule.gives_way(&waiting[..idle], now) {
                floor = waiting.remove(at).worth;
            }
        }
        let turn = &of.turns[of.done];
        outcome.turns += 1;
        outcome.delay += now - wanted;
        let cached = of.ended.is_some_and(|ended| now - ended < cache);
        let (read, written) = match (held, of.ended) {
            (Some(_), _) if cached => (of.tokens, turn.new),
            // What was said stands elsewhere in a replay, so only the prompt is found again.
            (None, Some(_)) if cached => (of.prompt, of.tokens - of.prompt + turn.new),
            _ => (0.0, of.tokens + turn.new),
        };
        outcome.tokens += READ * read + WRITTEN * written;
        let answers = of.answers + of.done;
        if held.is_none() {
            outcome.delay += start + REPLAYED_TURN * answers as f64;
            if answers == 0 {
                outcome.newcomers += 1;
                outcome.newcomers_delay += now - wanted + start;
            } else {
                outcome.replays += 1;
                outcome.replayed_tokens += of.tokens;
            }
        }
        let ends = now + turn.answer;
        let next = turn.silence.map(|silence| ends + silence);
        of.tokens += turn.new;
        of.done += 1;
        (of.before, of.ended) = (of.ended, Some(ends));
        waiting.push(Waiting {
            conversation: of.number,
            since: ends,
            before: of.before,
            turns: answers + 1,
            is_parked: turn.calls,
            tokens: of.tokens,
            worth: rule.worth(floor, of.tokens, answers + 1),
            next,
        });
        match next {
            Some(next) => due.push(Due(next, of)),
            None => due.extend(arrivals.after(&of, ends)),
        }
    }
    outcome
}

/// The conversation with this number in its seat.
fn conversation(pattern: Pattern, seat: u64, number: u64, seed: u64) -> Conversation {
    let number = if number == 0 { seat << 32 } else { number };
    let mut draw = Draw::new(seed, number | 1 << 62);
    let prompt = habits::beginning(pattern);
    Conversation {
        number,
        seat,
        prompt,
        tokens: prompt,
        turns: habits::conversation(pattern, &mut draw),
        answers: 0,
        done: 0,
        ended: None,
        before: None,
    }
}

/// How much of the prompt of a conversation that began before its recording is taken for its instructions and functions.
const INSTRUCTIONS: f64 = 15_000.0;

/// A conversation as it was recorded.
fn recorded(number: u64, arrivals: &[&Arrival]) -> Option<Due> {
    let first = arrivals.first()?;
    let mut turns = Vec::new();
    let mut prompt = first.prompt;
    for (at, arrival) in arrivals.iter().enumerate() {
        let next = arrivals.get(at + 1);
        turns.push(Turn {
            // A client that shortens a conversation begins another, as the pool sees it; so this is never much below 0.
            new: (arrival.prompt - prompt).max(0.0),
            answer: arrival.took,
            calls: arrival.calls,
            silence: next.map(|next| (next.at - arrival.at - arrival.took).max(0.0)),
        });
        prompt = prompt.max(arrival.prompt);
    }
    let answers = first.turn.saturating_sub(1);
    let conversation = Conversation {
        number,
        seat: 0,
        // What stands before the first answer is found again in a replay.
        prompt: if answers == 0 { first.prompt } else { first.prompt.min(INSTRUCTIONS) },
        tokens: first.prompt,
        turns,
        answers,
        done: 0,
        ended: None,
        before: None,
    };
    Some(Due(first.at, conversation))
}
