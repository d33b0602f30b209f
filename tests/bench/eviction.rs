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
use places::Outcome;
use rules::Rule;

/// How many places there are, and how many conversations that are under way want one of them.
const PLACES: [usize; 2] = [8, 32];
const WANTED: [f64; 2] = [1.5, 3.0];

fn main() {
    let (seed, hours) = (setting("SEED", 1) as u64, setting("HOURS", 4) as f64);
    let mut rows = Vec::new();
    for pattern in Pattern::ALL {
        for (places, wanted) in PLACES.into_iter().flat_map(|places| WANTED.map(|wanted| (places, wanted))) {
            let conversations = (places as f64 * wanted).round() as u64;
            let outcomes = Rule::ALL.map(|rule| places::simulate(rule, pattern, conversations, places, seed, hours));
            rows.push(row(pattern, places, conversations, &outcomes));
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
    // As many conversations are under way with each rule, but not to the same turn at the end.
    let per_turn = |of: &Outcome| (of.tokens / of.turns as f64, of.delay / of.turns as f64);
    let (tokens, delay) = per_turn(base);
    let shares = |of: &Outcome| format!("{:.3}, {:.3}", per_turn(of).0 / tokens, per_turn(of).1 / delay);
    row.extend(outcomes.iter().skip(1).map(shares));
    row
}
