//! Random conversations over the real CLI, held against an independent reference: what the model gets, and what the client
//! gets back.
//!
//! | file | its idea |
//! |---|---|
//! | `conversation` | what a conversation is, and how one is made up |
//! | `dialects` | its requests in each API, and what clients make of answers |
//! | `reference` | what is right |
//! | `judge` | holds a conversation, compares, names the differences |
//! | `known` | what nobody can undo |
//! | `shrink` | makes conversations smaller |
//! | `files` | pictures and a PDF |

mod conversation;
mod dialects;
mod files;
mod judge;
mod known;
mod reference;
mod shrink;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::StreamExt;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use self::conversation::{Conversation, conversations};
use self::judge::{Court, Difference};
use crate::support::stack::Stack;

/// How many conversations are held at once.
const AT_ONCE: usize = 3;

/// In how many trials the example of a difference is made smaller.
pub(crate) const SHRINKS: usize = 40;

/// The examples of so many kinds are made smaller: where there are more, most follow from others.
const SHRUNK: usize = 10;

/// The conversation of a seed with a number.
fn conversation(seed: u64, number: u64) -> Conversation {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..16].copy_from_slice(&number.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    conversations().new_tree(&mut runner).expect("every plan is a conversation").current()
}

/// The processes, and the API behind them; `None` where the real CLI is not installed.
pub(crate) async fn court() -> Option<Court> {
    let stack = Stack::real_with(|builder| builder.max_processes(8).warm_processes(2)).await?;
    Some(Court::new(stack).await)
}

/// A kind of difference: how often it was seen, in which conversation first, and how.
struct Seen {
    times: usize,
    number: u64,
    first: Difference,
}

/// Holds the conversations of a seed with these numbers, prints each kind of difference with a small request at which it is
/// seen, and returns how many kinds there are.
pub(crate) async fn judge(court: &Court, seed: u64, numbers: std::ops::Range<u64>, shrinks: usize) -> usize {
    println!("conversations {numbers:?} of SEED={seed}");
    let held = AtomicU64::new(0);
    let hold = async |conversation: &Conversation| {
        let name = format!("{seed}n{}", held.fetch_add(1, Ordering::Relaxed));
        court.hold(conversation, &name).await
    };
    let mut kinds: BTreeMap<String, Seen> = BTreeMap::new();
    let run = async |number| (number, hold(&conversation(seed, number)).await);
    let mut runs = futures_util::stream::iter(numbers).map(run).buffer_unordered(AT_ONCE);
    while let Some((number, differences)) = runs.next().await {
        for first in differences {
            let seen = kinds.entry(first.kind.clone()).or_insert(Seen { times: 0, number, first });
            seen.times += 1;
        }
    }
    drop(runs);
    for (kind, Seen { times, number, .. }) in &kinds {
        println!("{times:5} x {kind} (CASE={number})");
    }
    let example = async |(at, (kind, seen)): (usize, (&String, &Seen))| {
        let mut smallest = seen.first.clone();
        let trials = if at < SHRUNK { shrinks } else { 0 };
        shrink::shrink(&conversation(seed, seen.number), trials, async |smaller| {
            let again = hold(smaller).await.into_iter().find(|difference| difference.kind == *kind);
            let is_one = again.is_some();
            smallest = again.unwrap_or(smallest.clone());
            is_one
        })
        .await;
        println!("\n{smallest}\n  again: SEED={seed} CASE={}", seen.number);
    };
    futures_util::stream::iter(kinds.iter().enumerate())
        .map(example)
        .buffer_unordered(AT_ONCE)
        .collect::<Vec<()>>()
        .await;
    println!("{} conversations were held, with {} kinds of differences", held.load(Ordering::Relaxed), kinds.len());
    kinds.len()
}
