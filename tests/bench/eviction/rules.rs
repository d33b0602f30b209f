//! Who gives way: the pool's rule, others that weigh what a replay costs and how likely it is, and one that knows the future.

use super::places::Waiting;
use super::pool_rule::{self, Held};

/// For how long a conversation has been silent that gives way to a warm process, in seconds, as in the pool.
const SILENT: f64 = 60.0;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Rule {
    /// Who has been silent for longest.
    LeastRecentlyUsed,
    /// The pool's, by its own code.
    Pool,
    /// Whose replay is cheapest, with age: GreedyDual.
    GreedyDual,
    /// The same, times how often it has been gone on with: GreedyDual-Size with Frequency, all of one size.
    GreedyDualFrequency,
    /// Whose last turn but one is longest ago, those that had one turn only first: LRU-2.
    LastButOne,
    /// Whose replay is cheapest times the chance that it comes: the longer a silence, the less likely an end to it soon.
    Expected,
    /// A single question as with the pool's, else as `Expected`.
    SingleThenExpected,
    /// Who will be silent for longest. Nobody can know; it is the most there is to win in number of replays.
    Foresight,
}

impl Rule {
    pub(crate) const ALL: [Rule; 8] = [
        Rule::LeastRecentlyUsed,
        Rule::Pool,
        Rule::GreedyDual,
        Rule::GreedyDualFrequency,
        Rule::LastButOne,
        Rule::Expected,
        Rule::SingleThenExpected,
        Rule::Foresight,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Rule::LeastRecentlyUsed => "least recently used",
            Rule::Pool => "the pool's",
            Rule::GreedyDual => "GreedyDual",
            Rule::GreedyDualFrequency => "GreedyDual × frequency",
            Rule::LastButOne => "LRU-2",
            Rule::Expected => "cost × chance",
            Rule::SingleThenExpected => "a single question, then cost × chance",
            Rule::Foresight => "foresight",
        }
    }

    /// What a conversation is worth as its turn ends; `floor` is the worth of the last that gave way.
    pub(crate) fn worth(self, floor: f64, tokens: f64, turns: usize) -> f64 {
        match self {
            Rule::GreedyDual => floor + tokens,
            Rule::GreedyDualFrequency => floor + tokens * turns as f64,
            _ => 0.0,
        }
    }

    /// Which of those that wait gives way. They stand in the order in which their turns ended, as in the pool.
    pub(crate) fn gives_way(self, waiting: &[Waiting], now: f64) -> Option<usize> {
        let least = |value: &dyn Fn(&Waiting) -> f64| {
            let values = waiting.iter().map(value).enumerate();
            values.min_by(|one, other| one.1.total_cmp(&other.1)).map(|(at, _)| at)
        };
        match self {
            Rule::LeastRecentlyUsed => (!waiting.is_empty()).then_some(0),
            Rule::Pool => {
                pool_rule::choose(waiting.iter().map(|one| Held { answers: one.turns, is_parked: one.is_parked }))
            }
            Rule::GreedyDual | Rule::GreedyDualFrequency => least(&|one| one.worth),
            Rule::LastButOne => least(&|one| one.before.unwrap_or(one.since - 1e9)),
            Rule::Expected => {
                least(&|one| one.tokens / (1.0 + now - one.since) * if one.turns == 1 { 0.5 } else { 1.0 })
            }
            Rule::SingleThenExpected => {
                let single = waiting.iter().position(|one| one.turns == 1 && !one.is_parked);
                single.or_else(|| least(&|one| one.tokens / (1.0 + now - one.since)))
            }
            Rule::Foresight => least(&|one| -one.next.unwrap_or(f64::INFINITY)),
        }
    }
}

/// Whether a place is held back for a warm process where conversations fill all of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum HoldBack {
    /// There is no warm process.
    NoWarm,
    /// There is one where a place is free.
    Never,
    /// The one gives way that has been silent for longest, once that is long.
    LongestSilent,
    /// The same, but of all that have been silent for long it is the one that the pool's rule says.
    ByRule,
    /// A single question gives way however short its silence, any other conversation once that is long: the pool's.
    SingleAtOnce,
    /// The one that the pool's rule says, however short its silence.
    AtOnce,
}

impl HoldBack {
    pub(crate) const ALL: [HoldBack; 5] =
        [HoldBack::Never, HoldBack::LongestSilent, HoldBack::ByRule, HoldBack::SingleAtOnce, HoldBack::AtOnce];

    pub(crate) fn name(self) -> &'static str {
        match self {
            HoldBack::NoWarm => "no warm process",
            HoldBack::Never => "never",
            HoldBack::LongestSilent => "longest silent",
            HoldBack::ByRule => "the rule's",
            HoldBack::SingleAtOnce => "a single question at once, others later (the pool's)",
            HoldBack::AtOnce => "the rule's at once",
        }
    }

    /// When there was room for a warm process, if that was between these times: by then one has given way where it had to.
    pub(crate) fn make_room(self, waiting: &mut Vec<Waiting>, places: usize, from: f64, now: f64) -> Option<f64> {
        if self == HoldBack::NoWarm {
            return None;
        }
        if waiting.len() < places {
            return Some(from);
        }
        if self == HoldBack::Never {
            return None;
        }
        let silent = |one: &Waiting| match self {
            HoldBack::AtOnce => 0.0,
            HoldBack::SingleAtOnce if one.turns == 1 => 0.0,
            _ => SILENT,
        };
        waiting.sort_by(|one, other| one.since.total_cmp(&other.since));
        let may: Vec<usize> = (0..waiting.len())
            .filter(|at| !waiting[*at].is_parked && waiting[*at].since + silent(&waiting[*at]) <= now)
            .collect();
        let held = may.iter().map(|at| Held { answers: waiting[*at].turns, is_parked: false });
        let chosen = if self == HoldBack::LongestSilent { 0 } else { pool_rule::choose(held)? };
        let gone = waiting.remove(*may.get(chosen)?);
        Some(from.max(gone.since + silent(&gone)))
    }
}
