//! Who should give way where conversations fill all places: the rule that the pool has beside others, in a simulation.
//!
//! Nothing is measured here. What a turn costs was (Claude Code 2.1.328, two cores), the habits are assumptions; both stand
//! below, and in `eviction/habits.rs`, to be changed. `SEED` changes the draw, `HOURS` (4) how long it goes on, and `CACHE`
//! (300) for how many seconds the API keeps a prompt.
//!
//! ```text
//! cargo bench --bench eviction
//! ```

#[path = "soak/draw.rs"]
#[allow(dead_code)]
mod draw;
#[allow(dead_code)]
mod figures;
#[path = "eviction/habits.rs"]
mod habits;
#[path = "eviction/places.rs"]
mod places;
#[path = "../../src/cli/pool/eviction.rs"]
#[allow(dead_code, unused_imports, reason = "its tests are run where it is")]
mod pool_rule;
#[path = "eviction/rules.rs"]
mod rules;

use figures::{setting, table};
use habits::Pattern;
use places::{Outcome, Server};
use rules::{HoldBack, Rule};

/// How many places there are, and how many conversations that are under way want one of them.
const PLACES: [usize; 2] = [8, 32];
const WANTED: [f64; 3] = [1.0, 1.5, 3.0];

fn main() {
    let (seed, hours) = (setting("SEED", 1) as u64, setting("HOURS", 4) as f64);
    let (mut rows, mut held_back) = (Vec::new(), Vec::new());
    for pattern in Pattern::ALL {
        for (places, wanted) in PLACES.into_iter().flat_map(|places| WANTED.map(|wanted| (places, wanted))) {
            let seats = (places as f64 * wanted).round() as u64;
            let server = |rule, hold_back| Server { seats, places, rule, hold_back };
            let of_rule = |rule| places::simulate(&server(rule, HoldBack::NoWarm), pattern, seed, hours);
            rows.push(row(pattern, places, seats, &Rule::ALL.map(of_rule)));
            let of_place = |hold_back| places::simulate(&server(Rule::Pool, hold_back), pattern, seed, hours);
            held_back.push(row_of_place(pattern, places, seats, &HoldBack::ALL.map(of_place)));
        }
    }
    let first = ["pattern", "places", "under way", "turns", "replayed"].map(str::to_owned);
    let others = Rule::ALL.iter().skip(1).map(|rule| format!("{}: tokens, delay", rule.name()));
    let head: Vec<String> = first.into_iter().chain(others).collect();
    let head: Vec<&str> = head.iter().map(String::as_str).collect();
    table(
        "What rules cost in input tokens, and by how much they delay first tokens, as shares of least recently used",
        &head,
        &rows,
    );
    let first = ["pattern", "places", "under way", "never: a newcomer waits"].map(str::to_owned);
    let others = HoldBack::ALL.iter().skip(1).map(|one| format!("{}: tokens, delay, of newcomers", one.name()));
    let head: Vec<String> = first.into_iter().chain(others).collect();
    let head: Vec<&str> = head.iter().map(String::as_str).collect();
    table("What it costs to hold a place back for a warm process, as shares of never doing so", &head, &held_back);
}

/// What a turn costs in tokens, and by how much it is late. As many conversations are under way with each rule, but not to the
/// same turn at the end.
fn per_turn(of: &Outcome) -> (f64, f64) {
    (of.tokens / of.turns as f64, of.delay / of.turns as f64)
}

fn row_of_place(pattern: Pattern, places: usize, conversations: u64, outcomes: &[Outcome]) -> Vec<String> {
    let newcomer = |of: &Outcome| of.newcomers_delay / of.newcomers as f64;
    let base = &outcomes[0];
    let mut row = vec![
        format!("{pattern:?}").to_lowercase(),
        places.to_string(),
        conversations.to_string(),
        format!("{:.2} s", newcomer(base)),
    ];
    let (tokens, delay) = per_turn(base);
    row.extend(outcomes.iter().skip(1).map(|of| {
        let (of_tokens, of_delay) = per_turn(of);
        format!("{:.3}, {:.3}, {:.3}", of_tokens / tokens, of_delay / delay, newcomer(of) / newcomer(base))
    }));
    row
}

fn row(pattern: Pattern, places: usize, conversations: u64, outcomes: &[Outcome]) -> Vec<String> {
    let base = &outcomes[0];
    let mut row = vec![
        format!("{pattern:?}").to_lowercase(),
        places.to_string(),
        conversations.to_string(),
        base.turns.to_string(),
        format!("{:.1} %", 100.0 * base.replays as f64 / base.turns as f64),
    ];
    let (tokens, delay) = per_turn(base);
    let shares = |of: &Outcome| format!("{:.3}, {:.3}", per_turn(of).0 / tokens, per_turn(of).1 / delay);
    row.extend(outcomes.iter().skip(1).map(shares));
    row
}
