//! Who should give way where conversations fill all places: the rule that the pool has beside others, in a simulation.
//!
//! Nothing is measured here. What a turn costs was (Claude Code 2.1.328, two cores). Who comes when is drawn by assumed
//! habits, which stand in `eviction/habits.rs`, and then taken from the recordings of `tests/fixtures/arrivals`. `SEED`
//! changes the draw, `HOURS` (4) how long it goes on, and `CACHE` (300) for how many seconds the API keeps a prompt.
//!
//! ```text
//! cargo bench --bench eviction
//! TRACE=server.log,other.log cargo bench --bench eviction       # of your own traffic: logs of --log-format json
//! TRACE=server.log PLACES=8 cargo bench --bench eviction        # the same, with so many processes
//! TRACE=server.log SHORTEN=1 cargo bench --bench eviction       # its short form: numbers and nothing else
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
#[path = "eviction/recording.rs"]
mod recording;
#[path = "eviction/rules.rs"]
mod rules;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use figures::{setting, table};
use habits::Pattern;
use places::{Arrivals, Outcome, Server};
use recording::Recording;
use rules::{HoldBack, Rule};

/// How many places there are, and how many conversations that are under way want one of them.
const PLACES: [usize; 2] = [8, 32];
const WANTED: [f64; 3] = [1.0, 1.5, 3.0];

/// With recordings: how many places there are for each conversation of the most that are under way at once.
const PLACES_EACH: [f64; 3] = [0.5, 0.75, 1.0];

fn main() -> ExitCode {
    let recordings: Result<Vec<Recording>, String> = traces().iter().map(|path| Recording::read(path)).collect();
    let recordings = match recordings {
        Ok(recordings) => recordings,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    if setting("SHORTEN", 0) > 0 {
        for recording in &recordings {
            print!("{}", recording.shortened());
        }
        return ExitCode::SUCCESS;
    }
    if std::env::var_os("TRACE").is_none() {
        compare("habit", &drawn());
    }
    let cases: Vec<Case> = recordings.iter().flat_map(recorded).collect();
    compare("recording", &cases);
    told_again(&cases);
    ExitCode::SUCCESS
}

/// The files of `TRACE`, or those that belong to the package.
fn traces() -> Vec<PathBuf> {
    if let Ok(files) = std::env::var("TRACE") {
        return files.split(',').map(PathBuf::from).collect();
    }
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/arrivals");
    let files = fixtures.read_dir().into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|is| is == "txt")).collect();
    files.sort();
    files
}

/// Conversations that come to a server with so many places.
struct Case<'a> {
    name: String,
    arrivals: Arrivals<'a>,
    places: usize,
    under_way: usize,
}

impl Case<'_> {
    fn under(&self, rule: Rule, hold_back: HoldBack) -> Outcome {
        places::simulate(&Server { places: self.places, rule, hold_back }, self.arrivals)
    }

    /// What is said of all rules.
    fn begin_row(&self) -> Vec<String> {
        vec![self.name.clone(), self.places.to_string(), self.under_way.to_string()]
    }
}

fn drawn() -> Vec<Case<'static>> {
    let (seed, hours) = (setting("SEED", 1) as u64, setting("HOURS", 4) as f64);
    let mut cases = Vec::new();
    for pattern in Pattern::ALL {
        for (places, wanted) in PLACES.into_iter().flat_map(|places| WANTED.map(|wanted| (places, wanted))) {
            let under_way = (places as f64 * wanted).round() as usize;
            let arrivals = Arrivals::Drawn { pattern, seats: under_way as u64, seed, hours };
            cases.push(Case { name: format!("{pattern:?}").to_lowercase(), arrivals, places, under_way });
        }
    }
    cases
}

fn recorded(recording: &Recording) -> Vec<Case<'_>> {
    let under_way = recording.most_under_way();
    let mut places = match setting("PLACES", 0) {
        0 => PLACES_EACH.map(|each| ((under_way as f64 * each).round() as usize).max(2)).to_vec(),
        places => vec![places],
    };
    places.dedup();
    let case = |places| {
        let arrivals = Arrivals::Recorded(recording);
        Case { name: recording.name.clone(), arrivals, places, under_way }
    };
    places.into_iter().map(case).collect()
}

/// The rules beside each other, and what it does to hold a place back.
fn compare(what: &str, cases: &[Case]) {
    let (mut rows, mut held_back) = (Vec::new(), Vec::new());
    for case in cases {
        rows.push(row(case, &Rule::ALL.map(|rule| case.under(rule, HoldBack::NoWarm))));
        held_back.push(row_of_place(case, &HoldBack::ALL.map(|hold_back| case.under(Rule::Pool, hold_back))));
    }
    let others = Rule::ALL.iter().skip(1).map(|rule| format!("{}: tokens, delay", rule.name()));
    let first = [what, "places", "under way", "turns", "replayed"].map(str::to_owned);
    print_table(
        "What rules cost in input tokens, and by how much they delay first tokens, as shares of least recently used",
        first.into_iter().chain(others),
        &rows,
    );
    let others = HoldBack::ALL.iter().skip(1).map(|one| format!("{}: tokens, delay, of newcomers", one.name()));
    let first = [what, "places", "under way", "never: a newcomer waits"].map(str::to_owned);
    let title = "What it costs to hold a place back for a warm process, as shares of never doing so";
    print_table(title, first.into_iter().chain(others), &held_back);
}

/// The pool's rule beside least recently used, in figures.
fn told_again(cases: &[Case]) {
    let rows = cases.iter().map(|case| {
        let outcomes = [Rule::LeastRecentlyUsed, Rule::Pool].map(|rule| case.under(rule, HoldBack::NoWarm));
        let figures = outcomes.iter().flat_map(|of| {
            [
                of.replays.to_string(),
                format!("{:.2} M", of.replayed_tokens / 1e6),
                format!("{:.2} M", of.tokens / 1e6),
                format!("{:.0} ms", 1e3 * of.delay / of.turns as f64),
            ]
        });
        let turns = outcomes[0].turns.to_string();
        case.begin_row().into_iter().chain([turns]).chain(figures).collect()
    });
    let figures = |rule: &'static str| {
        ["turns replayed", "tokens replayed", "paid, at the input price", "delay a turn"]
            .map(|figure| format!("{rule}: {figure}"))
    };
    let first = ["recording", "places", "under way", "turns"].map(str::to_owned);
    let head = first.into_iter().chain(figures("least recently used")).chain(figures("the pool's"));
    print_table("What is replayed of the recordings", head, &rows.collect::<Vec<_>>());
}

fn print_table(title: &str, head: impl Iterator<Item = String>, rows: &[Vec<String>]) {
    let head: Vec<String> = head.collect();
    table(title, &head.iter().map(String::as_str).collect::<Vec<_>>(), rows);
}

/// What a turn costs in tokens, and by how much it is late. As many conversations are under way with each rule, but not to the
/// same turn at the end.
fn per_turn(of: &Outcome) -> (f64, f64) {
    (of.tokens / of.turns as f64, of.delay / of.turns as f64)
}

fn row_of_place(case: &Case, outcomes: &[Outcome]) -> Vec<String> {
    let newcomer = |of: &Outcome| of.newcomers_delay / of.newcomers as f64;
    let base = &outcomes[0];
    let mut row = case.begin_row();
    row.push(format!("{:.2} s", newcomer(base)));
    let (tokens, delay) = per_turn(base);
    row.extend(outcomes.iter().skip(1).map(|of| {
        let (of_tokens, of_delay) = per_turn(of);
        format!("{:.3}, {:.3}, {:.3}", of_tokens / tokens, of_delay / delay, newcomer(of) / newcomer(base))
    }));
    row
}

fn row(case: &Case, outcomes: &[Outcome]) -> Vec<String> {
    let base = &outcomes[0];
    let mut row = case.begin_row();
    row.push(base.turns.to_string());
    row.push(format!("{:.1} %", 100.0 * base.replays as f64 / base.turns as f64));
    let (tokens, delay) = per_turn(base);
    let shares = |of: &Outcome| format!("{:.3}, {:.3}", per_turn(of).0 / tokens, per_turn(of).1 / delay);
    row.extend(outcomes.iter().skip(1).map(shares));
    row
}
